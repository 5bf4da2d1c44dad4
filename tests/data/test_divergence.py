"""Distances between counted distributions against scipy's, and their baselines."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from everbloom.data.divergence import dealt_anew, distance, distance_dealt_anew, mean_distance, of_others


def test_the_distance_is_scipys():
    draw = np.random.default_rng(0)
    p, q = draw.integers(0, 5, size=(2, 40))
    assert distance(p, q) == pytest.approx(jensenshannon(p, q, base=2))
    assert distance(np.array([3, 0]), np.array([0, 9])) == 1
    assert distance(np.array([3, 1]), np.array([6, 2])) == 0


def test_the_mean_distance_is_that_of_each_user():
    draw = np.random.default_rng(1)
    user = np.repeat(np.arange(30), 25)
    kind, second = draw.integers(6, size=750), draw.random(750) < 0.4
    each = [
        jensenshannon(*(np.bincount(kind[(user == one) & (second == part)], minlength=6) for part in (0, 1)), base=2)
        for one in range(30)
    ]
    assert mean_distance(user, kind, second, 6) == pytest.approx(np.mean(each))


def test_dealing_anew_keeps_everyones_sizes_and_removes_what_differed():
    draw = np.random.default_rng(2)
    user = np.repeat(np.arange(200), 40)
    second = np.tile(np.arange(40) >= 30, 200)
    kind = second.astype(np.int64)
    dealt = dealt_anew(user, second, draw)
    np.testing.assert_array_equal(np.bincount(user[dealt]), np.full(200, 10))
    assert mean_distance(user, kind, second, 2) == 1
    assert mean_distance(user, kind, dealt, 2) < 0.2
    first, then = np.array([900, 100]), np.array([10, 190])
    assert distance_dealt_anew(first, then, draw) < 0.1 < distance(first, then)


def test_everybody_is_compared_with_somebody_else():
    user, second = np.repeat(np.arange(50), 2), np.tile([False, True], 50)
    given = of_others(user, second, np.random.default_rng(3))
    np.testing.assert_array_equal(given[~second], user[~second])
    assert (given[second] != user[second]).all()
    np.testing.assert_array_equal(np.sort(given[second]), np.arange(50))
