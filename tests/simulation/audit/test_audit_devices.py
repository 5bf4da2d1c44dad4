"""The device's step under audit: what is right stays below its claim, what is broken on purpose does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from opacus.optimizers.optimizer import _mark_as_processed
from torch import nn

from everbloom.privacy.opacus_step import OpacusStep
from simulation.audit.claims import Claim, audit_claim
from simulation.audit.devices import always_sampled, claim_of, fresh_ledgers, rounds_answered
from simulation.audit.gradient_canary import GradientCanary

ALPHA = 0.005
"""Of each bound: 20 seeds of several bounds must all hold."""
EXAMPLE = {"unit": "example", "noise_multiplier": 1.0, "denominator": 10}


def no_noise(plan, model: nn.Module, rate: float) -> OpacusStep:
    return OpacusStep(replace(plan, noise_multiplier=1e-9), model, rate)


def half_noise(plan, model: nn.Module, rate: float) -> OpacusStep:
    return OpacusStep(replace(plan, noise_multiplier=plan.noise_multiplier / 2), model, rate)


class WeighedAfterTheClip(OpacusStep):
    """Every example counts three times."""

    def __init__(self, plan, model: nn.Module, rate: float) -> None:
        super().__init__(plan, model, rate)
        self._clip = self.optimizer.clip_and_accumulate
        self.optimizer.clip_and_accumulate = self._weigh

    def _weigh(self) -> None:
        self._clip()
        for parameter in self.optimizer.params:
            parameter.summed_grad *= 3


class ClipOfTheMean(OpacusStep):
    """The batch's mean is clipped, not each example's gradient."""

    def __init__(self, plan, model: nn.Module, rate: float) -> None:
        super().__init__(plan, model, rate)
        self.optimizer.clip_and_accumulate = self._clip

    def _clip(self) -> None:
        (parameter,) = self.optimizer.params
        count = len(parameter.grad_sample)
        mean = parameter.grad_sample.mean(dim=0)
        parameter.summed_grad = count * mean * (self.plan.clip_norm / mean.norm()).clamp(max=1.0)
        _mark_as_processed(parameter.grad_sample)


BROKEN = {
    "no noise": no_noise,
    "half noise": half_noise,
    "weighed after the clip": WeighedAfterTheClip,
    "clip of the mean": ClipOfTheMean,
}


@pytest.mark.parametrize("step", BROKEN.values(), ids=BROKEN)
def test_a_broken_step_is_caught(plan_of, step):
    plan = plan_of(EXAMPLE)
    bounds = audit_claim(GradientCanary(plan, step), claim_of(plan, gaussian=True), 400, 0, ALPHA)
    assert any(bound.exceeded for bound in bounds)


def test_the_right_step_stays_below_its_claim(plan_of):
    """20 times; and it is no idle audit: some of what is claimed is proved every time."""
    plan = plan_of(EXAMPLE)
    for seed in range(20):
        bounds = audit_claim(GradientCanary(plan), claim_of(plan, gaussian=True), 160, seed, ALPHA)
        assert not any(bound.exceeded for bound in bounds)
        assert max(bound.epsilon_lower / bound.epsilon_claimed for bound in bounds) > 0.05


def test_a_reset_ledger_is_caught(plan_of, forgetful):
    plan = plan_of({**EXAMPLE, "max_participations": 2}, rounds=9)
    claim = claim_of(plan, gaussian=True)
    bounds = audit_claim(GradientCanary(plan, ledgers=forgetful), claim, 1500, 0, ALPHA)
    assert [bound.about for bound in bounds if bound.exceeded] == ["all 4 messages"]


def test_devices_answer_as_often_as_the_plan_allows(plan_of, forgetful):
    plan = plan_of({**EXAMPLE, "max_participations": 2}, rounds=9)
    assert list(rounds_answered(fresh_ledgers(plan, 5), 5, plan)) == [1, 2]
    assert list(rounds_answered(forgetful(plan, 5), 5, plan)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "table",
    [
        EXAMPLE,
        {**EXAMPLE, "clip_norm": 0.3, "noise_multiplier": 2.0},
        {**EXAMPLE, "unit": "interaction", "noise_multiplier": 20.0},
    ],
    ids=["example", "small clip", "interaction"],
)
def test_the_canary_is_as_visible_as_the_claim_allows(plan_of, table):
    """It moves a step's sum by the plan's whole reach, and what it is seen through is the plan's noise."""
    plan = plan_of(table)
    included = np.arange(400) < 200
    seen = GradientCanary(plan).release(included, 1)
    assert seen.shape == (400, plan.max_participations)
    distance = seen[included].mean() - seen[~included].mean()
    spread = plan.noise_multiplier
    assert distance == pytest.approx(plan.reach, abs=4 * spread * np.sqrt(2 / seen[included].size))
    assert seen[included].std() == pytest.approx(spread, rel=0.1)


def test_sampling_hides_and_without_it_half_the_noise_shows(plan_of):
    """A claim that rests on sampling is no Gaussian one; the noise beneath it is held to its own."""
    plan = plan_of({**EXAMPLE, "sampling": "poisson", "sample_rate": 0.3})
    bounds = audit_claim(GradientCanary(plan), claim_of(plan, gaussian=False), 400, 1, ALPHA)
    assert {bound.method for bound in bounds} == {"Clopper-Pearson", "one run"}
    assert not any(bound.exceeded for bound in bounds)
    whole = always_sampled(plan)
    assert whole.epsilon > plan.epsilon
    claim = claim_of(whole, gaussian=True)
    assert not any(bound.exceeded for bound in audit_claim(GradientCanary(whole), claim, 400, 1, ALPHA))
    assert any(bound.exceeded for bound in audit_claim(GradientCanary(whole, half_noise), claim, 400, 1, ALPHA))


def test_the_false_alarms_of_an_audit_are_shared_out(plan_of):
    plan = plan_of(EXAMPLE)
    for claim in (claim_of(plan, gaussian=True), claim_of(plan, gaussian=False), Claim(None, 1.0, 1e-5, True)):
        found = audit_claim(GradientCanary(plan), claim, 40, 0, 0.01)
        assert len(found) == claim.bounds
        assert all(bound.confidence == 0.99 for bound in found)


def test_a_repeated_audit_is_the_same(plan_of):
    plan, included = plan_of(EXAMPLE), torch.arange(40).numpy() % 2 == 0
    first, again, other = (GradientCanary(plan).release(included, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).any()
