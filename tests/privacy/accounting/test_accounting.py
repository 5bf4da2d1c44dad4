"""Epsilon against figures found elsewhere, and noise that really meets its budget."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.stats import norm

from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.accounting.sampled import poisson_epsilon, poisson_noise


@pytest.mark.parametrize(
    ("participations", "noise"),
    [(1, 0.48), (4, 0.96), (48, 3.33)],
)
def test_full_batch_needs(participations, noise):
    """One full-batch step a round, delta 1e-3, epsilon 8: noise multipliers measured with dp-accounting's Gaussian calibration."""
    assert math.sqrt(participations) / gaussian_mu(8.0, 1e-3) == pytest.approx(noise, abs=0.006)


@pytest.mark.parametrize(("rounds", "noise"), [(1, 0.59), (4, 0.80), (48, 1.78)])
def test_poisson_needs(rounds, noise):
    """Five Poisson steps at rate 0.2 a round, delta 1e-3. These noises are what Renyi accounting needs for epsilon 8; ours is tighter,
    and agrees with Opacus's PRV accountant.
    """
    renyi, prv = RDPAccountant(), PRVAccountant()
    renyi.history = prv.history = [(noise, 0.2, 5 * rounds)]
    found = poisson_epsilon(noise, 0.2, 5 * rounds, 1e-3)
    assert renyi.get_epsilon(1e-3) == pytest.approx(8.0, abs=0.1)
    assert found < 7.3
    assert found == pytest.approx(prv.get_epsilon(1e-3), abs=0.02)


def test_gaussian_epsilon_is_the_exact_curve():
    """delta(epsilon) of mu-GDP, by quadrature of the definition: the mass of P that exceeds e^epsilon Q."""
    mu, delta = 1.3, 1e-3
    epsilon = gaussian_epsilon(mu, delta)
    x = np.linspace(-12, 14, 400_001)
    density = np.maximum(norm.pdf(x, mu) - np.exp(epsilon) * norm.pdf(x), 0)
    assert np.trapezoid(density, x) == pytest.approx(delta, rel=1e-4)


def test_poisson_golden_value():
    """s=1, q=.25, T=40, delta=1e-5: 11.284 by privacy loss distributions at a finer grid than ours; Opacus's PRV says 11.29."""
    found = poisson_epsilon(1.0, 0.25, 40, 1e-5)
    assert found == pytest.approx(11.284, abs=0.02)
    prv = PRVAccountant()
    prv.history = [(1.0, 0.25, 40)]
    assert found == pytest.approx(prv.get_epsilon(1e-5), abs=0.02)


def test_poisson_at_rate_one_is_the_full_batch():
    assert poisson_epsilon(2.0, 1.0, 4, 1e-4) == pytest.approx(gaussian_epsilon(1.0, 1e-4), abs=0.01)


def test_nothing_released_costs_nothing():
    assert gaussian_epsilon(0.0, 1e-5) == 0.0
    assert poisson_epsilon(1.0, 0.1, 0, 1e-5) == 0.0
    assert gaussian_epsilon(1e-6, 1e-3) == 0.0  # so little that delta alone covers it


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 30), st.floats(1e-9, 0.05))
def test_mu_and_epsilon_are_inverse_and_never_over_budget(epsilon, delta):
    mu = gaussian_mu(epsilon, delta)
    assert gaussian_epsilon(mu, delta) <= epsilon
    assert gaussian_epsilon(mu, delta) == pytest.approx(epsilon, rel=1e-5)
    assert gaussian_epsilon(mu * 1.01, delta) > epsilon


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(1.0, 0.1, 20), (8.0, 0.3, 5)])
def test_calibrated_poisson_noise_keeps_the_budget_and_wastes_little(epsilon, rate, steps):
    noise = poisson_noise(epsilon, rate, steps, 1e-5)
    assert poisson_epsilon(noise, rate, steps, 1e-5) <= epsilon
    assert poisson_epsilon(noise / 1.01, rate, steps, 1e-5) > epsilon


@pytest.mark.parametrize(("mu", "delta"), [(30.0, 1e-9), (300.0, 1e-5), (1e6, 1e-5)])
def test_hardly_any_noise_is_a_large_number_and_no_overflow(mu, delta):
    """For large mu epsilon is about mu^2 / 2."""
    assert gaussian_epsilon(mu, delta) == pytest.approx(mu**2 / 2, rel=0.5)
