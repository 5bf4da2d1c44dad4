"""Each user mechanism's noise has the deviation that was accounted for: the right one is accepted, two thirds and three halves of it are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2

ROUNDS = 60
DIMENSIONS = 40


def accepted(noise: np.ndarray, deviation: float) -> bool:
    """Whether the numbers could be N(0, deviation^2) (two-sided chi-square test at 1e-4)."""
    share = chi2.cdf((noise / deviation).reshape(-1).__pow__(2).sum(), noise.size)
    return bool(5e-5 < share < 1 - 5e-5)


def central(plan, noise) -> tuple[np.ndarray, float]:
    found = [plan.server.open({}, plan.server.zero(DIMENSIONS), 0, DIMENSIONS, n, noise(n)).mean for n in range(ROUNDS)]
    return np.array(found) * plan.cohort, plan.noise_multiplier * plan.clip_norm


def local(plan, noise) -> tuple[np.ndarray, float]:
    found = plan.release.finish(torch.zeros(ROUNDS, DIMENSIONS), plan.clip_norm, [noise(n) for n in range(ROUNDS)])
    return found, plan.noise_multiplier * plan.clip_norm


def factorised(plan, noise) -> tuple[np.ndarray, float]:
    """C x, which must be independent."""
    state, rows = plan.server.begin(DIMENSIONS), []
    for n in range(20):
        opened = plan.server.open(state, plan.server.zero(DIMENSIONS), 0, DIMENSIONS, n, noise(n))
        state = opened.state
        rows.append(opened.mean.astype(np.float64) * plan.cohort)
    x, bands = np.array(rows), plan.factorisation.coefficients
    z = np.array([sum(bands[j] * x[t - j] for j in range(min(t + 1, len(bands)))) for t in range(20)])
    return z, plan.noise_multiplier * plan.clip_norm


def distributed(plan, noise) -> tuple[np.ndarray, float]:
    """The sum over the least cohort; rounding of zeros adds nothing."""
    rows = []
    for n in range(ROUNDS):
        sources = [noise(1000 * n + device) for device in range(plan.min_cohort)]
        sent = plan.release.finish(torch.zeros(plan.min_cohort, DIMENSIONS), plan.clip_norm, sources)
        total = sent.sum(axis=0, dtype=sent.dtype)
        rows.append(plan.server.open({}, total, plan.min_cohort, DIMENSIONS, n, noise(0)).mean * plan.min_cohort)
    return np.array(rows), plan.noise_multiplier * plan.encoding.inflated_clip_norm


KINDS = {"central": central, "local": local, "matrix-factorisation": factorised, "distributed": distributed}


@pytest.mark.parametrize("name", KINDS)
def test_the_noise_is_what_was_accounted_for(plan_for, noise, name):
    found, deviation = KINDS[name](plan_for(name, clip_norm=0.3), noise)
    assert accepted(found, deviation)
    assert not accepted(found, deviation * 3 / 2)
    assert not accepted(found, deviation * 2 / 3)


@pytest.mark.parametrize("factor", [2 / 3, 3 / 2])
@pytest.mark.parametrize("name", KINDS)
def test_wrong_noise_is_noticed(plan_for, noise, name, factor):
    """The test of the mechanism has power: a mechanism that adds two thirds, or three halves, of its noise fails it."""
    plan = plan_for(name, clip_norm=0.3)
    if name == "distributed":
        wrong = replace(plan, encoding=replace(plan.encoding, noise_multiplier=plan.noise_multiplier * factor))
    else:
        wrong = replace(plan, noise_multiplier=plan.noise_multiplier * factor)
    found, _ = KINDS[name](wrong, noise)
    deviation = (
        plan.noise_multiplier * plan.encoding.inflated_clip_norm
        if name == "distributed"
        else plan.noise_multiplier * plan.clip_norm
    )
    assert not accepted(found, deviation)


ADVERSARIAL = {
    "zero": torch.zeros(1, DIMENSIONS),
    "huge": torch.full((1, DIMENSIONS), 1e30),
    "largest": torch.full((1, DIMENSIONS), 3e38),
    "tiny": torch.full((1, DIMENSIONS), 1e-42),
    "one hot": torch.eye(DIMENSIONS)[:1] * 1e20,
    "not a number": torch.full((1, DIMENSIONS), float("nan")),
    "infinite": torch.full((1, DIMENSIONS), float("inf")),
    "one infinite": torch.tensor([[float("inf")] + [0.0] * (DIMENSIONS - 1)]),
}


@pytest.mark.parametrize("bound", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("kind", ADVERSARIAL)
@pytest.mark.parametrize("name", ["central", "matrix-factorisation"])
def test_no_update_is_longer_than_the_bound(plan_for, name, kind, bound):
    """Whatever training made of the data: with noise off, what leaves is finite and no longer than the clip norm."""
    sent = plan_for(name).release.finish(ADVERSARIAL[kind].clone(), bound, [])
    assert np.isfinite(sent).all()
    assert np.linalg.norm(sent.astype(np.float64)) <= bound
    if kind in ("huge", "one hot"):
        assert np.linalg.norm(sent.astype(np.float64)) > 0.999 * bound


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_integers_are_no_longer_than_was_accounted_for(plan_for, noise, kind):
    """As good as without noise: twelve shares of a millionth of a grid step."""
    plan = plan_for("distributed")
    still = replace(plan, encoding=replace(plan.encoding, noise_multiplier=1e-9))
    sent = still.release.finish(ADVERSARIAL[kind].clone(), 1.0, [noise(1)]).astype(np.int64)
    signed = np.where(sent < 2**15, sent, sent - 2**16)
    assert (signed**2).sum() <= still.encoding.l2_square


def test_an_empty_cohort_steps_on_noise_alone(plan_for, noise):
    """Whether anybody was drawn must not show."""
    for name in ("central", "matrix-factorisation"):
        plan = plan_for(name)
        assert plan.server.unanswered
        opened = plan.server.open(plan.server.begin(5), plan.server.zero(5), 0, 5, 0, noise(3))
        assert np.abs(opened.mean).min() > 0


def test_divisors_are_public_constants(plan_for, noise):
    """One user more changes the sum by its update and nothing else: neither the noise nor the divisor."""
    for name in ("central", "matrix-factorisation"):
        plan = plan_for(name)
        total = np.arange(5.0)
        one = plan.server.open(plan.server.begin(5), total, 11, 5, 0, noise(3)).mean
        other = plan.server.open(plan.server.begin(5), total + 1, 12, 5, 0, noise(3)).mean
        np.testing.assert_allclose(other - one, 1 / 12, atol=1e-6)
