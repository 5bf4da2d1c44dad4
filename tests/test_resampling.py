"""The bootstrap over users."""

import numpy as np
import pytest

from everbloom.resampling import MeansOverUsers, resampled_users


def test_each_resample_draws_as_many_users_as_there_are():
    drawn = np.concatenate(list(resampled_users(7, 50, np.random.default_rng(0))))
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.5)


def test_weighted_means_are_over_who_was_measured():
    measured = {
        0: (np.array([0, 2], dtype=np.int32), np.array([1.0, 0.5], dtype=np.float32)),
        1: (np.array([1], dtype=np.int32), np.array([0.25], dtype=np.float32)),
    }
    means = MeansOverUsers.of(measured, users=3).weighted(np.array([[1.0, 1, 1], [3, 0, 1]]))
    assert means[0].tolist() == [0.75, 0.25]
    assert means[1, 0] == (3 * 1.0 + 0.5) / 4
    assert np.isnan(means[1, 1])  # nobody is left


def test_the_deviation_is_that_of_a_mean_over_independent_users():
    rng = np.random.default_rng(1)
    values = rng.exponential(size=400).astype(np.float32)
    means = MeansOverUsers.of({0: (np.arange(400, dtype=np.int32), values)}, users=400)
    again = np.concatenate([means.weighted(weights) for weights in resampled_users(400, 2000, rng)])[:, 0]
    assert again.std() == pytest.approx(values.std() / 20, rel=0.08)


def test_what_a_user_was_measured_at_twice_is_no_independent_evidence():
    """The same value in two periods: their mean is as uncertain as one of them."""
    rng = np.random.default_rng(2)
    values, users = rng.normal(size=300).astype(np.float32), np.arange(300, dtype=np.int32)
    means = MeansOverUsers.of({0: (users, values), 1: (users, values)}, users=300)
    again = np.concatenate([means.weighted(weights) for weights in resampled_users(300, 2000, rng)])
    assert again.mean(axis=1).std() == pytest.approx(values.std() / np.sqrt(300), rel=0.08)
