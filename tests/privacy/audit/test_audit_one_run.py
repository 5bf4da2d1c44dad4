"""One run, many canaries: the p-value is a probability under the hypothesis, and the bound holds where epsilon is known."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.audit.one_run import epsilon_lower, p_value


def one_run(mu: float, canaries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    included = rng.random(canaries) < 0.5
    return rng.normal(size=canaries) + mu * included, included


def test_without_delta_it_is_a_binomial_tail():
    accuracy = math.e / (1 + math.e)
    assert p_value(100, 50, 45, 1.0, 0.0) == pytest.approx(binom.sf(44, 50, accuracy))


def test_delta_adds_what_the_theorem_says():
    """Computed term by term, as theorem 5.2 states it."""
    accuracy, v, r, m, delta = 1 / (1 + math.exp(-0.7)), 17, 20, 64, 1e-3
    terms = [sum(binom.pmf(v - j, r, accuracy) for j in range(1, i + 1)) / i for i in range(1, v + 1)]
    expected = binom.sf(v - 1, r, accuracy) + 2 * m * delta * max(terms)
    assert p_value(m, r, v, 0.7, delta) == pytest.approx(expected)


def test_perfect_guesses_prove_what_so_many_can():
    """m coins all guessed: P = q^m = alpha / 4 (four numbers of guesses are tried)."""
    rng = np.random.default_rng(0)
    included = rng.random(1000) < 0.5
    found, (canaries, guesses, right) = epsilon_lower(included.astype(float), included, 0.0)
    assert (canaries, guesses) == (1000, right)
    accuracy = (0.05 / 4) ** (1 / guesses)
    assert found == pytest.approx(math.log(accuracy / (1 - accuracy)), abs=1e-3)


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_right_mechanisms_stay_below_their_claim(mu):
    claimed = gaussian_epsilon(mu, 1e-6)
    found = [epsilon_lower(*one_run(mu, 1000, seed), 1e-6)[0] for seed in range(40)]
    assert max(found) < claimed
    assert np.median(found) > claimed / 8


def test_more_leakage_proves_more():
    found = [epsilon_lower(*one_run(mu, 2000, 1), 1e-6)[0] for mu in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert found[0] < 0.2
    assert found == sorted(found)
