"""Are the divergences upper bounds on those of the real probabilities, and not absurdly above them?"""

import math
from functools import lru_cache

import numpy as np
import pytest
from scipy.special import ive, logsumexp

from everbloom.privacy.accounting.discrete import (
    ORDERS,
    DiscreteAggregate,
    discrete_epsilon,
    discrete_noise,
    discrete_rdp,
)
from everbloom.privacy.accounting.gaussian import gaussian_epsilon

REACH = 1500


@lru_cache
def log_skellam(variance: float) -> np.ndarray:
    """[2 REACH + 1] log-probabilities of -REACH..REACH, far beyond where floats end: ratios I_(x+1) / I_x by their continued fraction."""
    ratios = [0.0]
    for x in range(REACH + 200, 0, -1):
        ratios.append(1 / (2 * x / variance + ratios[-1]))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios[:0:-1]))])[: REACH + 1]
    return np.concatenate([logs[:0:-1], logs]) + math.log(ive(0, variance))


@lru_cache
def log_gaussians(share: float, shares: int) -> np.ndarray:
    """[2 REACH + 1] log-probabilities of the sum of so many discrete Gaussians; convolved in logarithms."""
    places = np.arange(-60, 61)
    one = -(places**2) / (2 * share)
    one = one - logsumexp(one)
    total = np.full(2 * REACH + 1, -np.inf)
    total[REACH - 60 : REACH + 61] = one
    for _ in range(shares - 1):
        total = logsumexp([np.roll(total, place) + weight for place, weight in zip(places, one, strict=True)], axis=0)
    return total


def divergence(logs: np.ndarray, shift: int, order: float) -> float:
    """Renyi divergence of the shifted from the unshifted law; symmetric laws have the same one the other way."""
    moved = np.full_like(logs, -np.inf)
    moved[shift:] = logs[: len(logs) - shift]
    known = np.isfinite(moved) & np.isfinite(logs)
    return float(logsumexp(order * moved[known] + (1 - order) * logs[known])) / (order - 1)


def aggregate(law: str, l2: float, l1: float, share: float, shares: int = 1, dimensions: int = 1) -> DiscreteAggregate:
    return DiscreteAggregate(law, l2, l1, share, shares, dimensions)


@pytest.mark.parametrize("variance", [1.0, 4.0, 30.0, 400.0])
@pytest.mark.parametrize("shift", [1, 2, 5, 20])
def test_the_skellam_bound_lies_above_the_divergence(variance, shift):
    for order in (2, 3, 5, 16):
        if order * shift > 60 * math.sqrt(variance):
            continue
        exact = divergence(log_skellam(variance), shift, order)
        bound = discrete_rdp(aggregate("skellam", shift, shift, variance), (order,))[0]
        gaussian = order * shift**2 / (2 * variance)
        assert exact <= bound * (1 + 1e-9)
        # Loose by a term of the order of 1 / variance, which is gone where the noise is many grid steps.
        assert bound <= gaussian + 1.5 * shift / variance
        if variance >= 400:
            assert bound <= 1.15 * exact


def test_the_skellam_bound_has_power():
    """Two thirds of the deviation accounted as the whole one is found out: the exact divergence lies above that claim."""
    claimed = discrete_rdp(aggregate("skellam", 5, 5, 100.0), (2, 5))
    honest = [divergence(log_skellam(100.0), 5, order) for order in (2, 5)]
    short = [divergence(log_skellam(100.0 * 4 / 9), 5, order) for order in (2, 5)]
    assert (honest <= claimed).all()
    assert (np.array(short) > claimed).all()
    # Three halves of it would be an accountant that asks for too much: the bound is not as loose as that.
    assert (discrete_rdp(aggregate("skellam", 5, 5, 100.0 * 9 / 4), (2, 5)) < honest).all()


def test_the_bounds_are_the_papers():
    """Worked out by hand, each branch of each minimum: brute force cannot tell their constants from slightly smaller ones."""
    fine = discrete_rdp(aggregate("skellam", 5.0, 7.0, 100.0), (3,))[0]
    assert fine == pytest.approx(0.375 + (5 * 25 + 42) / 40_000)
    coarse = discrete_rdp(aggregate("skellam", 3.0, 9.0, 1.0), (16,))[0]
    assert coarse == pytest.approx(72 + 13.5)
    tau = 10 * (math.exp(-(math.pi**2) / 4) + math.exp(-(math.pi**2) / 3))  # two terms: three shares of variance 1/4
    for l2, l1, dimensions, order, expected in (
        (3.0, 5.0, 1, 30, 15 * 9 / 0.75 + tau),
        (1.0, 1.0, 100, 2, 1 / 0.75 + 2 * tau / math.sqrt(0.75) + 100 * tau**2),
        (2.0, 50.0, 4, 2, (2 / math.sqrt(0.75) + 2 * tau) ** 2),
    ):
        bounds = [
            order / 2 * l2**2 / 0.75 + tau * dimensions,
            order / 2 * (l2**2 / 0.75 + 2 * tau * l1 / math.sqrt(0.75) + tau**2 * dimensions),
            order / 2 * (l2 / math.sqrt(0.75) + tau * math.sqrt(dimensions)) ** 2,
        ]
        found = discrete_rdp(aggregate("discrete-gaussian", l2, l1, 0.25, 3, dimensions), (order,))[0]
        assert any(expected == pytest.approx(bound) for bound in bounds)
        assert found == pytest.approx(min(bounds))


@pytest.mark.parametrize("vector", [(3, 1, -2), (1,) * 30, (6, 0, 0), (1, 10)])
def test_the_skellam_bound_holds_in_more_dimensions(vector):
    """Coordinates are independent, so that their divergences add up."""
    l2, l1 = math.hypot(*vector), sum(map(abs, vector))
    for variance in (10.0, 60.0):
        for order in (2, 4, 9):
            exact = sum(divergence(log_skellam(variance), abs(shift), order) for shift in vector if shift)
            bound = discrete_rdp(aggregate("skellam", l2, l1, variance, dimensions=len(vector)), (order,))[0]
            assert exact <= bound <= order * l2**2 / (2 * variance) + 1.5 * l1 / variance


def test_skellam_counts_the_surviving_shares():
    whole = discrete_rdp(aggregate("skellam", 40.0, 300.0, 25.0, shares=90))
    assert np.allclose(whole, discrete_rdp(aggregate("skellam", 40.0, 300.0, 25.0 * 90)))
    assert (discrete_rdp(aggregate("skellam", 40.0, 300.0, 25.0, shares=80)) > whole).all()


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("shares", [1, 2, 4])
def test_the_gaussian_bound_lies_above_the_divergence(share, shares):
    for shift in (1, 2, 3):
        for order in (2, 3, 6):
            exact = divergence(log_gaussians(share, shares), shift, order)
            bound = discrete_rdp(aggregate("discrete-gaussian", shift, shift, share, shares), (order,))[0]
            assert exact <= bound * (1 + 1e-9)
            if share >= 1 or shares == 1:
                assert bound <= 1.01 * exact


def test_the_gaussian_bound_in_more_dimensions():
    for vector in ((3, 1, -2), (1,) * 20):
        l2, l1 = math.hypot(*vector), sum(map(abs, vector))
        for order in (2, 6):
            exact = sum(divergence(log_gaussians(0.5, 3), abs(shift), order) for shift in vector)
            bound = discrete_rdp(aggregate("discrete-gaussian", l2, l1, 0.5, 3, len(vector)), (order,))[0]
            assert exact <= bound <= 1.5 * exact + 0.1


def test_shares_of_too_little_noise_have_no_bound():
    assert np.isinf(discrete_rdp(aggregate("discrete-gaussian", 1, 1, 0.24, 1000))).all()
    assert discrete_epsilon(aggregate("discrete-gaussian", 1, 1, 0.24, 1000), 1, 1e-5) == math.inf


@pytest.mark.parametrize("law", ["skellam", "discrete-gaussian"])
def test_much_noise_on_a_fine_grid_is_a_gaussian_s(law):
    """Epsilon lies above the exact one of the Gaussian of the same size, by what Renyi divergences lose, and equals theirs."""
    for multiplier in (0.7, 2.0, 8.0):
        for participations in (1, 20):
            one = aggregate(law, 1e5, 1e7, (multiplier * 1e5) ** 2 / 50, 50, 65_536)
            found = discrete_epsilon(one, participations, 1e-6)
            exact = gaussian_epsilon(math.sqrt(participations) / multiplier, 1e-6)
            assert exact <= found <= 1.12 * exact
            renyi = np.array(ORDERS) * participations / (2 * multiplier**2)
            assert np.allclose(participations * discrete_rdp(one), renyi, rtol=1e-3)


@pytest.mark.parametrize(("variance", "shift", "slack"), [(4.0, 1, math.inf), (30.0, 5, 30), (400.0, 20, 30)])
@pytest.mark.parametrize("participations", [1, 3])
def test_delta_at_epsilon_is_within_the_claim(variance, shift, slack, participations):
    """The whole chain: the hockey-stick divergence of the real probabilities at the epsilon claimed. Little noise: above by far."""
    logs = log_skellam(variance)[REACH - 250 : REACH + 251]
    moved = log_skellam(variance)[REACH - 250 - shift : REACH + 251 - shift]
    losses, weights = moved - logs, np.exp(moved)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    for delta in (1e-2, 1e-4):
        epsilon = discrete_epsilon(aggregate("skellam", shift, shift, variance), participations, delta)
        total, chances = np.zeros(1), np.ones(1)
        heavy = weights > 1e-9
        for _ in range(participations):
            total = (total[:, None] + losses[heavy]).ravel()
            chances = (chances[:, None] * weights[heavy]).ravel()
        found = float((chances * -np.expm1(np.minimum(epsilon - total, 0))).sum())
        assert delta / slack <= found <= delta


def test_epsilon_grows_with_participations_and_shrinks_with_delta():
    one = aggregate("skellam", 100.0, 3000.0, 2500.0, 20, 1024)
    spent = [discrete_epsilon(one, participations, 1e-6) for participations in (0, 1, 2, 10, 100)]
    assert spent[0] == 0
    assert spent == sorted(spent)
    assert discrete_epsilon(one, 10, 1e-4) < discrete_epsilon(one, 10, 1e-8)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0, 50.0])
@pytest.mark.parametrize("law", ["skellam", "discrete-gaussian"])
def test_noise_for_an_epsilon(law, epsilon):
    def with_noise(multiplier: float) -> DiscreteAggregate:
        return aggregate(law, 200.0, 6000.0, (multiplier * 200.0) ** 2 / 30, 30, 1024)

    multiplier = discrete_noise(with_noise, 4, epsilon, 1e-6)
    assert discrete_epsilon(with_noise(multiplier), 4, 1e-6) <= epsilon
    assert discrete_epsilon(with_noise(multiplier / 1.001), 4, 1e-6) > epsilon


def test_what_the_theorems_do_not_cover_is_refused():
    one = aggregate("skellam", 1.0, 1.0, 1.0)
    for orders in ((1,), (2.5,), (2, 0)):
        with pytest.raises(ValueError, match="orders"):
            discrete_rdp(one, orders)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="delta"):
            discrete_epsilon(one, 1, delta)
    for epsilon in (0.0, math.nan):
        with pytest.raises(ValueError, match="epsilon"):
            discrete_noise(lambda _: one, 1, epsilon, 1e-5)
