"""Mechanisms that protect users, under audit: what is right stays below its claim, what is broken on purpose does not."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from everbloom.privacy.release import UpdateRelease
from simulation.audit.audit import Attack, attacks_on
from simulation.audit.claims import Claim, audit_claim
from simulation.audit.devices import claim_of
from simulation.audit.user_canary import LocalUsers, SampledUsers, SeparatedUsers, SummedUsers

ALPHA = 0.005
USER = {"unit": "user", "epsilon": 4.0}
SAMPLED = {**USER, "mechanism": "central"}
ADAPTIVE = {**USER, "mechanism": {"name": "central", "adaptive_clip": {"noise": 0.2}}}
SEPARATED = {**USER, "mechanism": "matrix-factorisation"}
SUMMED = {**USER, "mechanism": "distributed", "max_participations": 2}
LOCAL = {**USER, "mechanism": "local", "max_participations": 4}
TABLES = {"central": SAMPLED, "adaptive": ADAPTIVE, "separated": SEPARATED, "distributed": SUMMED, "local": LOCAL}
CANARIES = 1000


@pytest.fixture(scope="module")
def plan(plan_of):
    def build(name: str, **change: Any):
        sampler = "poisson" if name in ("central", "adaptive") else "uniform"
        return plan_of({**TABLES[name], **change}, rounds=20, cohort=10, sampler=sampler)

    return build


def attacked(attack: Attack, seed: int = 0) -> list:
    return audit_claim(attack.mechanism, attack.claim, attack.runs, seed, ALPHA)


def caught(mechanism, claim: Claim, runs: int = CANARIES) -> bool:
    return any(bound.exceeded for bound in audit_claim(mechanism, claim, runs, 0, ALPHA))


# ---- right


@pytest.mark.parametrize("name", ["central", "adaptive", "separated", "local"])
def test_the_right_mechanism_stays_below_its_claim(plan, name):
    for attack in attacks_on(None, plan(name), CANARIES):
        proved = []
        for seed in range(20):
            bounds = attacked(attack, seed)
            assert not any(bound.exceeded for bound in bounds)
            proved.append(max(bound.epsilon_lower / bound.epsilon_claimed for bound in bounds))
        assert np.median(proved) > 0.1


def test_the_right_distributed_mechanism_stays_below_its_claim(plan):
    (attack,) = attacks_on(None, plan("distributed"), 180)
    for seed in range(20):
        assert not any(bound.exceeded for bound in attacked(attack, seed))


@pytest.mark.parametrize("name", ["separated", "local", "distributed"])
def test_canaries_are_as_visible_as_the_claim_allows(plan, name):
    """What sets messages with a canary apart from those without is what the accountant counted: mu of all of them."""
    found = plan(name)
    (attack,) = attacks_on(None, found, CANARIES if name != "distributed" else 270)
    included = np.arange(attack.runs) % 2 == 0
    evidence = attack.mechanism.release(included, 1).sum(axis=1)
    distance = evidence[included].mean() - evidence[~included].mean()
    mu = np.sqrt(found.max_participations * _mu_squared(found))
    assert distance / evidence[~included].std() == pytest.approx(mu, rel=0.2)


def _mu_squared(found) -> float:
    cost = found.cost()
    return cost.mu_squared if cost.mu_squared is not None else 1 / found.noise_multiplier**2


# ---- broken on purpose


@dataclass(frozen=True)
class Weighed(UpdateRelease):
    """Each update is multiplied by a weight after it was clipped."""

    def finish(self, deltas: torch.Tensor, bound: float, sources: list) -> np.ndarray:
        return 3 * super().finish(deltas, bound, sources)


@dataclass(frozen=True)
class ClippedMean(UpdateRelease):
    """The mean of the updates is clipped, not each of them."""

    def finish(self, deltas: torch.Tensor, bound: float, sources: list) -> np.ndarray:
        norm = float(deltas.mean(dim=0).norm()) if len(deltas) else 0.0
        return (deltas * min(1.0, bound / max(norm, 1e-9))).numpy()


def noisy_with(plan, share: float):
    """The server's side with so much of the noise."""
    if hasattr(plan.server, "deviation"):
        return replace(plan.server, deviation=plan.server.deviation * share)
    return replace(plan.server, noise_multiplier=plan.noise_multiplier * share)


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["no noise", "half noise"])
def test_too_little_noise_is_caught_in_a_sampled_sum(plan, share):
    found = plan("central")
    _, certain = attacks_on(None, found, CANARIES)
    broken = SampledUsers(certain.mechanism.plan, opening=noisy_with(found, share))
    assert caught(broken, certain.claim)
    # Without noise no sampling hides who was there.
    if share == 0:
        assert caught(SampledUsers(found, opening=noisy_with(found, share)), claim_of(found, gaussian=False))


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["no noise", "half noise"])
def test_too_little_noise_is_caught_in_separated_sums(plan, share):
    found = plan("separated")
    assert caught(SeparatedUsers(found, opening=noisy_with(found, share)), claim_of(found, gaussian=True))


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["no noise", "half noise"])
def test_too_little_noise_is_caught_on_a_device(plan, share):
    found = plan("local")
    broken = UpdateRelease(noise_multiplier=found.noise_multiplier * share)
    assert caught(LocalUsers(found, release=broken), claim_of(found, gaussian=True))


@pytest.mark.parametrize("share", [0.01, 0.5], ids=["next to no noise", "half noise"])
def test_too_little_noise_is_caught_in_a_sum_of_integers(plan, share):
    found = plan("distributed")
    less = replace(found.encoding, noise_multiplier=found.noise_multiplier * share)
    broken = SummedUsers(found, UpdateRelease(encoding=less), replace(found.server, encoding=less))
    assert caught(broken, claim_of(found, gaussian=True), 1440)


@pytest.mark.parametrize("release", [Weighed, ClippedMean])
def test_what_is_not_bounded_one_by_one_is_caught(plan, release):
    sampled, separated, local = (plan(name) for name in ("central", "separated", "local"))
    _, certain = attacks_on(None, sampled, CANARIES)
    assert caught(SampledUsers(certain.mechanism.plan, release=release()), certain.claim)
    assert caught(SeparatedUsers(separated, release=release()), claim_of(separated, gaussian=True))
    if release is Weighed:  # a device has but one update, whose mean it is
        assert caught(
            LocalUsers(local, Weighed(noise_multiplier=local.noise_multiplier / 3)), claim_of(local, gaussian=True)
        )


def test_a_reset_ledger_is_caught(plan, forgetful):
    separated, local = plan("separated"), plan("local")
    for broken, found, runs in (
        (SeparatedUsers(separated, ledgers=forgetful), separated, 4000),
        (LocalUsers(local, ledgers=forgetful), local, 10_000),
    ):
        bounds = audit_claim(broken, claim_of(found, gaussian=True), runs, 0, ALPHA)
        assert {bound.about for bound in bounds if bound.exceeded} == {f"all {2 * found.max_participations} messages"}


def test_nothing_is_held_against_noise_that_is_only_simulated(plan_of):
    table = {**USER, "mechanism": {"name": "central", "noise_cohort": 50, "noise_population": 1000}}
    assert attacks_on(None, plan_of(table, sampler="poisson"), CANARIES) == []
