"""Intervals over seeds."""

import numpy as np
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


def test_over_people_and_seeds_both_variances_count():
    values = [0.1, 0.2, 0.3]
    seeds_alone = Estimate.of_people(values, 0.0)
    assert seeds_alone.half == pytest.approx(Estimate.of(values).half)
    people_alone = Estimate.of_people([0.2, 0.2, 0.2], 0.05)
    assert people_alone.half == pytest.approx(1.96 * 0.05, rel=1e-3)
    both = Estimate.of_people(values, 0.05)
    assert people_alone.half < both.half < seeds_alone.half + people_alone.half
    assert Estimate.of_people([0.1], 0.05).half is None  # one seed tells nothing of other seeds
    assert Estimate.of_people([], 0.05) is None


@pytest.mark.parametrize(("share", "covers"), [(1.0, True), (0.4, False)])
def test_the_interval_over_people_and_seeds_covers_what_it_says(share, covers):
    """Users and seeds crossed, true mean 0: about 95% of the intervals hold it; of intervals 0.4 as wide far fewer do."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(400):
        users, seeds = rng.normal(0, 1.0, 60), rng.normal(0, 0.1, 3)
        values = users[:, None] + seeds + rng.normal(0, 1.0, (60, 3))
        found = Estimate.of_people(values.mean(axis=0).tolist(), values.mean(axis=1).std(ddof=1) / np.sqrt(60))
        held.append(abs(found.mean) <= share * found.half)
    assert (np.mean(held) >= 0.93) == covers
