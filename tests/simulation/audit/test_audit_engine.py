"""The cohort engine under audit, with real examples of the experiment's own model: right and broken on purpose."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from everbloom.learning.cohort.engine import CohortTrainer
from everbloom.learning.cohort.private import PrivateTraining
from simulation.audit.audit import attacks_on
from simulation.audit.claims import audit_claim
from simulation.audit.devices import claim_of
from simulation.audit.example_canary import ExampleCanary, cohort_trainer

ALPHA = 0.005
PRIVACY = {"unit": "example", "noise_multiplier": 1.0, "delta": 1e-5, "denominator": 10}
SCALED = {"items": {"bias_scale": 8.0}}
"""Gradients longer than the clip norm, whatever the example."""


@pytest.fixture
def study(small, study_of):
    def build(privacy: dict | None = None, **tables):
        return study_of(small(privacy={**PRIVACY, **(privacy or {})}, **{"model": SCALED, **tables}))

    return build


class NoNoise(PrivateTraining):
    def _noise(self, buffer: torch.Tensor, source: object) -> torch.Tensor:
        return buffer.zero_()


class HalfNoise(PrivateTraining):
    def _noise(self, buffer: torch.Tensor, source: object) -> torch.Tensor:
        return super()._noise(buffer, source).mul_(0.5)


class WeighedAfterTheClip(PrivateTraining):
    def _factor(self, *arguments: object) -> torch.Tensor:
        return super()._factor(*arguments) * 3


class Unclipped(PrivateTraining):
    def _factor(self, batch: object, *arguments: object) -> torch.Tensor:
        return batch.real.float()


class NoiseOfOneStep(PrivateTraining):
    """One draw of noise for everybody."""

    def _noise(self, buffer: torch.Tensor, source: object) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        return buffer.normal_(0, self.plan.noise_multiplier * self.plan.clip_norm, generator=generator)


def trained_by(training: type[PrivateTraining]):
    def build(study, plan) -> CohortTrainer:
        trainer = cohort_trainer(study, plan)
        trainer.training = training(trainer.skeleton, trainer.learning, plan, trainer.budget)
        return trainer

    return build


@pytest.mark.parametrize("training", [NoNoise, HalfNoise, WeighedAfterTheClip, Unclipped, NoiseOfOneStep])
def test_broken_training_is_caught(study, training):
    found = study()
    broken = ExampleCanary(found, found.plan, trained_by(training))
    bounds = audit_claim(broken, claim_of(found.plan, gaussian=True), 400, 0, ALPHA)
    assert any(bound.exceeded for bound in bounds)


def test_right_training_stays_below_its_claim(study):
    found = study()
    right, claim = ExampleCanary(found, found.plan), claim_of(found.plan, gaussian=True)
    for seed in range(20):
        bounds = audit_claim(right, claim, 160, seed, ALPHA)
        assert not any(bound.exceeded for bound in bounds)


def test_a_reset_ledger_is_caught(study, forgetful):
    found = study({"max_participations": 2})
    broken = ExampleCanary(found, found.plan, ledgers=forgetful)
    bounds = audit_claim(broken, claim_of(found.plan, gaussian=True), 2000, 0, ALPHA)
    assert [bound.about for bound in bounds if bound.exceeded] == ["all 4 messages"]


CASES = {
    "next-item": {},
    "windows": {"learning": {"examples": "windows"}},
    "steps": {"learning": {"local_steps": 2, "learning_rate": 0.01}},
    "small gradients": {"model": {"items": {"bias": "none"}}},
    "dropout": {"model": {**SCALED, "user": {"dropout": 0.2}}},
    "bce": {"learning": {"objective": {"name": "bce"}}},
}


@pytest.mark.parametrize("name", CASES)
def test_the_canary_is_nearly_as_visible_as_the_claim_allows(study, name):
    """In every kind of experiment: it moves a step's sum by about the clip norm, never by more, through the plan's noise."""
    found = study(**CASES[name])
    plan = found.plan
    canary = ExampleCanary(found, plan)
    included = np.arange(400) % 2 == 0
    seen = canary.release(included, 1)
    assert seen.shape == (400, plan.max_participations)
    steps = plan.steps_per_round
    distance = seen[included].mean() - seen[~included].mean()
    chance = 4 * plan.noise_multiplier * np.sqrt(2 * steps / seen[included].size)
    assert steps * min(1.0, canary.canary.norm / plan.clip_norm) * 0.9 - chance < distance < steps + chance
    assert canary.canary.norm > 0.9 * plan.clip_norm
    assert seen[included].std() == pytest.approx(plan.noise_multiplier * np.sqrt(steps), rel=0.1)


def test_experiments_choose_their_attacks(study):
    """Gaussian bounds where the claim is Gaussian; under sampling, the noise beneath it is attacked as well."""
    full = study()
    assert [attack.claim.gaussian for attack in attacks_on(full, full.plan)] == [True, True]
    sampled = study({"sampling": "poisson", "sample_rate": 0.2})
    attacks = attacks_on(sampled, sampled.plan, 100)
    assert [attack.claim.gaussian for attack in attacks] == [False, False, True]
    assert attacks[2].mechanism.name.endswith("always sampled")
    for attack in attacks[1:]:
        bounds = audit_claim(attack.mechanism, attack.claim, attack.runs, 0, ALPHA)
        assert not any(bound.exceeded for bound in bounds)


def test_a_plan_that_asks_more_of_an_interaction_is_attacked_with_more(study):
    found = study({"unit": "interaction", "noise_multiplier": 9.0})
    canary, included = ExampleCanary(found, found.plan), np.arange(200) % 2 == 0
    seen = canary.release(included, 1)
    distance = seen[included].mean() - seen[~included].mean()
    assert distance == pytest.approx((found.plan.reach + 1) / 2, abs=4 * 9 * np.sqrt(2 / seen[included].size))
    assert distance < found.plan.reach
    assert replace(found.plan, reach=1.0).spent(1) < found.plan.spent(1)
