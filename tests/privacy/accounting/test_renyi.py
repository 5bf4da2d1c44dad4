"""Renyi divergences against quadrature of the definition and against dp-accounting's and Opacus's accountants."""

import math

import numpy as np
import pytest
from dp_accounting.rdp import rdp_privacy_accountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant
from scipy.stats import norm

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.accounting.renyi import (
    ORDERS,
    compose,
    epsilon_at,
    gaussian_curve,
    gaussian_rdp,
    poisson_curve,
    poisson_rdp,
    rdp_between,
    rdp_within,
    renyi_epsilon,
)


def divergence(noise: float, rate: float, order: float) -> float:
    """D_a((1 - q) N(0, s^2) + q N(1, s^2) || N(0, s^2)) by quadrature."""
    x = np.linspace(-30 * noise, 30 * noise + 2 * order, 400_001)
    ratio = np.log1p(rate * np.expm1((2 * x - 1) / (2 * noise**2)))
    return math.log(np.trapezoid(np.exp(order * ratio + norm.logpdf(x, scale=noise)), x)) / (order - 1)


@pytest.mark.parametrize("order", [1.5, 2.0, 2.5, 8.0, 32.0])
@pytest.mark.parametrize(("noise", "rate"), [(1.0, 0.25), (2.0, 0.01), (5.0, 0.5)])
def test_one_step_at_one_order(noise, rate, order):
    """Exact at whole orders; a bound between them, close above 2 and rough below, where epsilon is large."""
    exact, found = divergence(noise, rate, order), poisson_rdp(noise, rate, order)
    if order == int(order):
        assert found == pytest.approx(exact, rel=1e-5)
    else:
        assert exact * (1 - 1e-6) <= found <= exact * (1.6 if order < 2 else 1.08)


@pytest.mark.parametrize("order", [1.1, 1.5])
@pytest.mark.parametrize(("noise", "rate"), [(0.3, 0.5), (0.5, 0.2)])
def test_where_the_series_does_not_converge_a_chord_bounds(noise, rate, order, caplog):
    found = poisson_rdp(noise, rate, order)
    assert divergence(noise, rate, order) <= found < math.inf
    assert caplog.text == ""


def test_without_sampling_it_is_the_gaussian():
    assert poisson_rdp(2.0, 1.0, 7.0) == gaussian_rdp(0.25, 7.0) == 0.875
    assert gaussian_curve(0.25) == poisson_curve(2.0, 1.0)


@pytest.mark.parametrize(
    ("epsilon_of", "delta"), [((1.3, 0.004, 3_750), 1e-5), ((4.0, 0.01, 10_000), 1e-5), ((1.0, 0.2, 20), 1e-3)]
)
def test_epsilon_of_a_run_is_that_of_opacus(epsilon_of, delta):
    noise, rate, steps = epsilon_of
    opacus = RDPAccountant()
    opacus.history = [epsilon_of]
    epsilon, order = renyi_epsilon(compose([(poisson_curve(noise, rate), steps)]), delta)
    assert epsilon == pytest.approx(opacus.get_epsilon(delta), rel=0.01)
    assert epsilon == pytest.approx(epsilon_at(order, steps * poisson_rdp(noise, rate, order), delta))


def test_mechanisms_of_different_kinds_add_up_order_by_order():
    both = compose([(gaussian_curve(0.1), 3), (poisson_curve(1.0, 0.1), 10)])
    place = ORDERS.index(4.0)
    assert both[place] == pytest.approx(3 * 4 * 0.1 / 2 + 10 * poisson_rdp(1.0, 0.1, 4.0))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ORDERS), st.floats(1e-3, 50), st.floats(1e-9, 0.05))
def test_conversion_is_that_of_dp_accounting_and_inverts(order, rdp, delta):
    found = epsilon_at(order, rdp, delta)
    theirs, _ = rdp_privacy_accountant.compute_epsilon([order], [rdp], delta)
    # Theirs has another bound beside it that says 0 for a divergence below delta^2.
    assert theirs in (0, pytest.approx(found, rel=1e-9, abs=1e-9))
    if found > 0:
        assert rdp_within(order, found, delta) == pytest.approx(rdp, rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 5), st.floats(1e-8, 1e-3))
def test_a_gaussian_by_orders_is_above_the_exact_and_not_far(mu, delta):
    exact = gaussian_epsilon(mu, delta)
    epsilon, _ = renyi_epsilon(gaussian_curve(mu**2), delta)
    assert exact <= epsilon <= 1.2 * exact + 0.02


@given(st.floats(1.01, 64))
def test_between_known_orders_it_bounds_from_above(order):
    known = [2.0, 3.0, 8.0, 64.0]
    curve = [gaussian_rdp(0.5, each) for each in known]
    assert rdp_between(order, known, curve) >= gaussian_rdp(0.5, order) - 1e-12
    assert rdp_between(3.0, known, curve) == gaussian_rdp(0.5, 3.0)


def test_above_the_largest_known_order_nothing_is_known():
    with pytest.raises(PrivacyError, match="nothing is known at order 65, the largest known is 64"):
        rdp_between(65, [2, 64], [0.1, 3.2])


def test_a_curve_is_computed_once():
    poisson_curve(1.7, 0.13)
    misses = poisson_rdp.cache_info().misses
    poisson_curve(1.7, 0.13)
    poisson_rdp(1.7, 0.13, ORDERS[5])
    assert poisson_rdp.cache_info().misses == misses
