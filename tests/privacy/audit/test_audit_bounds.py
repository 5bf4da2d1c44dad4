"""The estimators against mechanisms whose epsilon is known exactly: bounds hold, are not far below, and tell right from wrong."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.audit import clopper_pearson, gdp
from everbloom.privacy.audit.thresholds import bound_errors, upper_bound


def gaussian_runs(mu: float, runs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=runs), rng.normal(size=runs) + mu


# ---- confidence bounds


@pytest.mark.parametrize(("errors", "runs"), [(0, 10), (3, 10), (9, 10), (50, 1000)])
def test_the_upper_bound_is_clopper_and_pearsons(errors, runs):
    assert upper_bound(errors, runs, 0.05) == pytest.approx(beta.ppf(0.95, errors + 1, runs - errors))
    # The definition: at this probability, so few errors have a chance of alpha.
    assert binom.cdf(errors, runs, float(upper_bound(errors, runs, 0.05))) == pytest.approx(0.05)


def test_where_every_run_errs_nothing_is_bounded():
    assert upper_bound(np.array([10, 9]), 10, 0.05)[0] == 1.0


def test_the_threshold_is_chosen_without_the_runs_that_are_counted():
    """The odd runs say the opposite of the even ones: what was chosen on these is then worthless, and the bounds say so."""
    without, with_canary = np.zeros(200), np.ones(200)
    without[1::2], with_canary[1::2] = 1.0, 0.0
    errors = bound_errors(without, with_canary, 0.05, gdp.mu_of_errors)
    assert 0 < errors.threshold < 1
    assert errors.false_positive == errors.false_negative == 1.0
    assert errors.runs == 200


def test_without_noise_the_threshold_lies_in_the_middle():
    """Rounding around two points must not turn into errors."""
    rng = np.random.default_rng(0)
    errors = bound_errors(rng.normal(size=100) * 1e-7, 1 + rng.normal(size=100) * 1e-7, 0.05, gdp.mu_of_errors)
    assert errors.threshold == pytest.approx(0.5, abs=0.01)
    assert errors.false_positive == errors.false_negative == pytest.approx(1 - 0.025 ** (1 / 50))


def test_too_few_runs_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        bound_errors(np.zeros(3), np.ones(9), 0.05, gdp.mu_of_errors)


# ---- Clopper-Pearson


def test_epsilon_of_errors_is_the_larger_of_both_forms():
    assert clopper_pearson.epsilon_of_errors(np.array(0.01), np.array(0.2), 1e-3) == pytest.approx(
        math.log(0.799 / 0.01)
    )
    assert clopper_pearson.epsilon_of_errors(np.array(0.2), np.array(0.01), 1e-3) == pytest.approx(
        math.log(0.799 / 0.01)
    )
    assert clopper_pearson.epsilon_of_errors(np.array(1.0), np.array(1.0), 1e-3) == -np.inf


def test_randomised_response_is_audited_to_its_epsilon():
    """The mechanism for which the bound is tight: at most its epsilon, and close to it."""
    epsilon, rng = 1.5, np.random.default_rng(1)
    truth = 1 / (1 + math.exp(-epsilon))
    runs = 40_000
    without, with_canary = (rng.random(runs) < 1 - truth).astype(float), (rng.random(runs) < truth).astype(float)
    found, errors = clopper_pearson.epsilon_lower(without, with_canary, 0.0)
    assert 1.35 < found <= epsilon
    assert errors.runs == runs


def test_delta_is_allowed_for():
    """A mechanism that tells all with probability delta: no epsilon is refuted at that delta, a large one at none."""
    rng, runs, delta = np.random.default_rng(2), 20_000, 0.1
    without, with_canary = np.zeros(runs), (rng.random(runs) < delta).astype(float)
    assert clopper_pearson.epsilon_lower(without, with_canary, delta * 1.1)[0] < 0.01
    assert clopper_pearson.epsilon_lower(without, with_canary, 0.0)[0] > 4


@pytest.mark.parametrize("mu", [0.5, 1.7])
@pytest.mark.parametrize("bound", [clopper_pearson.epsilon_lower, gdp.epsilon_lower], ids=["clopper-pearson", "gdp"])
def test_right_mechanisms_stay_below_their_claim(bound, mu):
    """At 95% each, 60 times: five or more of them too high would be a chance of one in a thousand, and in fact it is far rarer."""
    claimed = gaussian_epsilon(mu, 1e-4)
    found = [bound(*gaussian_runs(mu, 2000, seed), 1e-4)[0] for seed in range(60)]
    assert sum(epsilon > claimed for epsilon in found) <= 1


def test_no_difference_is_no_evidence():
    found = [clopper_pearson.epsilon_lower(*gaussian_runs(0.0, 1000, seed), 1e-5)[0] for seed in range(20)]
    assert max(found) < 0.3


# ---- Gaussian DP


def test_mu_of_errors_is_the_gaussian_trade_off():
    """At mu, a test with false positive rate a misses Phi(Phi^-1(1 - a) - mu)."""
    for mu in (0.3, 1.0, 4.0):
        alarms = np.array([0.001, 0.05, 0.4])
        assert gdp.mu_of_errors(alarms, norm.cdf(norm.ppf(1 - alarms) - mu)) == pytest.approx(mu)


@pytest.mark.parametrize("mu", [0.5, 1.7, 3.5])
def test_the_gaussian_bound_is_close(mu):
    found, _ = gdp.epsilon_lower(*gaussian_runs(mu, 20_000, 3), 1e-5)
    assert gaussian_epsilon(0.85 * mu, 1e-5) < found < gaussian_epsilon(mu, 1e-5)


def test_half_the_noise_is_caught_from_few_runs():
    claimed = gaussian_epsilon(1.7, 1e-4)
    for seed in range(20):
        assert gdp.epsilon_lower(*gaussian_runs(3.4, 400, seed), 1e-4)[0] > claimed


def test_mu_from_moments_estimates_it():
    assert gdp.mu_from_moments(*gaussian_runs(1.3, 50_000, 4)) == pytest.approx(1.3, abs=0.03)
