"""Intervals over seeds."""

import pytest
from scipy.stats import sem, t, ttest_rel

from everbloom.intervals import Estimate


def test_the_interval_is_student_s():
    values = [0.1, 0.2, 0.25, 0.4]
    found = Estimate.of(values)
    low, high = t.interval(0.95, 3, loc=sum(values) / 4, scale=sem(values))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert Estimate.of([0.5]).half is None  # one run tells nothing of the spread
    assert Estimate.of([0.1] * 3).half == 0
    assert Estimate.of([]) is None


def test_a_paired_difference_is_that_of_the_paired_t_test():
    ours, theirs = {1: 0.3, 2: 0.5, 3: 0.45, 9: 0.0}, {3: 0.40, 2: 0.41, 1: 0.28, 8: 1.0}
    found = Estimate.paired(ours, theirs)
    shared = (1, 2, 3)
    expected = ttest_rel([ours[seed] for seed in shared], [theirs[seed] for seed in shared]).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert Estimate.paired({1: 0.2}, {2: 0.1}) is None


def test_an_interval_excludes_zero_only_where_it_tells_something():
    assert Estimate(0.2, 0.1).excludes_zero
    assert Estimate(-0.2, 0.1).excludes_zero
    assert not Estimate(0.1, 0.1).excludes_zero
    assert not Estimate(0.2, None).excludes_zero  # one seed
    assert not Estimate(0.0, 0.0).excludes_zero
