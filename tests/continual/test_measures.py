"""The measures against matrices worked out by hand, and what must hold for any matrix."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everbloom.continual import measures as m

NAN = float("nan")
A = np.array(
    [
        [NAN, 0.20, NAN, NAN],
        [NAN, 0.50, 0.30, NAN],
        [NAN, 0.40, 0.60, 0.10],
        [NAN, 0.35, 0.65, 0.70],
    ]
)


def test_a_matrix_by_hand():
    assert m.next_period(A) == pytest.approx([NAN, 0.20, 0.30, 0.10], nan_ok=True)
    assert m.prequential_mean(A) == pytest.approx((0.20 + 0.30 + 0.10) / 3)
    assert m.plasticity(A) == pytest.approx((0.50 + 0.60 + 0.70) / 3)
    assert m.stability(A) == pytest.approx((0.40 + (0.35 + 0.65) / 2) / 2)
    assert m.final_mean(A) == pytest.approx((0.35 + 0.65 + 0.70) / 3)
    assert m.average_forgetting(A) == pytest.approx(((0.50 - 0.35) + (0.60 - 0.65)) / 2)
    assert m.forgetting_throughout(A) == pytest.approx(((0.50 - 0.40) + 0.05) / 2)
    assert m.backward_transfer(A) == pytest.approx(((0.35 - 0.50) + (0.65 - 0.60)) / 2)
    frozen = np.array([NAN, 0.20, 0.25, 0.15])
    assert m.forward_transfer(A, frozen) == pytest.approx(((0.30 - 0.25) + (0.10 - 0.15)) / 2)


def test_forgetting_counts_from_the_best_model_even_if_it_had_not_learnt_the_period():
    before = A.copy()
    before[0, 1] = 0.9
    assert m.average_forgetting(before) == pytest.approx(((0.9 - 0.35) + (0.60 - 0.65)) / 2)
    assert m.backward_transfer(before) == m.backward_transfer(A)


def test_with_two_periods_nothing_can_be_forgotten():
    two = A[:2, :2]
    assert (m.prequential_mean(two), m.plasticity(two), m.final_mean(two)) == (0.2, 0.5, 0.5)
    for found in (
        m.average_forgetting(two),
        m.forgetting_throughout(two),
        m.backward_transfer(two),
        m.stability(two),
        m.forward_transfer(two, two[0]),
    ):
        assert math.isnan(found)
    assert math.isnan(m.forward_transfer(A, None))


def test_what_is_unknown_is_left_out():
    part = A.copy()
    part[3, 1] = NAN
    assert m.average_forgetting(part) == pytest.approx(0.60 - 0.65)
    assert m.final_mean(part) == pytest.approx((0.65 + 0.70) / 2)


def matrices(low: float = 0.0, high: float = 1.0) -> st.SearchStrategy[np.ndarray]:
    """Matrices of 3 to 6 periods, known where a run knows them."""

    def known(values: np.ndarray) -> np.ndarray:
        p, q = np.indices(values.shape)
        return np.where((q >= 1) & (q <= p + 1), values, np.nan)

    return st.integers(3, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(low, high))).map(known)


@given(st.integers(3, 6), st.floats(0, 1))
def test_a_model_that_never_changes_neither_forgets_nor_gains(periods, level):
    p, q = np.indices((periods, periods))
    constant = np.where((q >= 1) & (q <= p + 1), level, np.nan)
    assert m.average_forgetting(constant) == m.forgetting_throughout(constant) == 0
    assert m.backward_transfer(constant) == 0
    assert m.forward_transfer(constant, constant[np.maximum(np.arange(periods) - 1, 0), np.arange(periods)]) == 0
    for measure in (m.prequential_mean, m.plasticity, m.stability, m.final_mean):
        assert measure(constant) == pytest.approx(level)


@given(matrices())
def test_forgetting_is_at_least_minus_backward_transfer(matrix):
    """The best earlier model is at least as good as the one that had just learnt the period."""
    assert m.average_forgetting(matrix) >= -m.backward_transfer(matrix) - 1e-12


@given(matrices(), st.floats(-1, 1))
def test_a_shift_of_all_moves_levels_and_no_difference(matrix, shift):
    moved = matrix + shift
    for level in (m.prequential_mean, m.plasticity, m.stability, m.final_mean):
        assert level(moved) == pytest.approx(level(matrix) + shift)
    for difference in (m.average_forgetting, m.backward_transfer):
        assert difference(moved) == pytest.approx(difference(matrix))


def test_learning_speed():
    rounds, values = [0, 10, 20, 40], [0.1, 0.3, 0.48, 0.5]
    assert m.rounds_to_gain(rounds, values) == 20  # .1 + .9 * .4 = .46
    assert m.rounds_to_gain(rounds, values, share=0.5) == 10
    assert m.curve_area(rounds, values) == pytest.approx((10 * 0.25 + 10 * 0.725 + 20 * 0.975) / 40)
    assert m.curve_area([0, 5], [0.0, 1.0]) == 0.5
    for found in (m.rounds_to_gain([0, 2], [0.3, 0.3]), m.curve_area([0, 2], [0.3, 0.2]), m.curve_area([], [])):
        assert math.isnan(found)  # nothing was gained
