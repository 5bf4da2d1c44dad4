"""The paired tests keep their error rates, see what is there, and agree with plain resampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.evaluation.metrics import bootstrap_interval
from everbloom.evaluation.paired import compare_paired, holm


def drawn(rng, users, shift=0.0):
    """Two models' NDCG-like values: mostly nothing, the same mean but for `shift`."""
    first, second = ((rng.random(users) < 0.3) * rng.random(users) for _ in range(2))
    return np.clip(first + shift * (rng.random(users) < 0.5), 0, 1)[:, None], second[:, None]


def test_alike_models_are_told_apart_as_often_as_promised_and_no_more():
    rng = np.random.default_rng(1)
    found = [compare_paired(*drawn(rng, 80), rng) for _ in range(120)]
    assert np.mean([one.permutation < 0.05 for one in found]) < 0.11  # 3 standard errors above .05
    assert 0.87 < np.mean([one.low <= 0 <= one.high for one in found]) <= 1.0


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(2)
    found = compare_paired(*drawn(rng, 400, shift=0.2), rng)
    assert found.permutation < 0.001
    assert found.sign < 0.001
    assert 0 < found.low < found.difference < found.high
    assert found.better > found.worse
    assert found.users == 400


def test_the_interval_is_that_of_resampling_one_user_at_a_time():
    rng = np.random.default_rng(3)
    first, second = drawn(rng, 300, shift=0.05)
    found = compare_paired(first, second, rng)
    low, high = bootstrap_interval((first - second)[:, 0], rng, resamples=4000)
    assert found.low == pytest.approx(low, abs=0.003)
    assert found.high == pytest.approx(high, abs=0.003)


def test_periods_weigh_the_same_whoever_is_tested_in_them():
    first = np.array([[1.0, np.nan], [0.0, np.nan], [0.0, 1.0], [np.nan, 0.0]])
    second = np.where(np.isnan(first), np.nan, 0.0)
    found = compare_paired(first, second, np.random.default_rng(0))
    assert found.difference == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (found.better, found.worse) == (2, 0)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=30))
def test_a_model_does_not_differ_from_itself(values):
    column = np.array(values)[:, None]
    found = compare_paired(column, column, np.random.default_rng(0))
    assert (found.difference, found.low, found.high, found.permutation, found.sign) == (0, 0, 0, 1, 1)


def test_what_is_not_paired_is_refused():
    rng = np.random.default_rng(0)
    one = np.array([[1.0], [0.0]])
    for other in (one[:1], np.array([[1.0], [np.nan]])):
        with pytest.raises(ValueError, match="the same users"):
            compare_paired(one, other, rng)
    nobody = np.array([[1.0, np.nan], [0.0, np.nan]])
    with pytest.raises(ValueError, match="somebody in every period"):
        compare_paired(nobody, nobody, rng)


def test_holm_raises_the_smallest_most_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
