"""Measures of exposure against other implementations and cases whose answer is known."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from everbloom.data.events import NO_ITEM
from everbloom.feedback.attraction import attraction_of_choice
from everbloom.feedback.exposure import (
    distribution_distance,
    exposure_bias,
    exposure_counts,
    rank_correlation,
    share_within,
)
from everbloom.feedback.homogeneity import homogeneity

RNG = np.random.default_rng(7)


def test_exposure_counts_leave_empty_places_out():
    lists = np.array([[0, 2, NO_ITEM], [2, 1, 0]], dtype=np.int32)
    assert exposure_counts(lists, 4).tolist() == [2, 1, 2, 0]


def test_rank_correlation_is_scipys():
    one, other = RNG.integers(0, 6, 200), RNG.random(200)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(one, np.ones(200)) == 0.0


def test_the_distance_is_scipys():
    one, other = RNG.random(50), RNG.random(50)
    one[:10] = 0
    assert distribution_distance(one, other) == pytest.approx(jensenshannon(one, other, base=2))
    assert distribution_distance(one, 3 * one) == pytest.approx(0.0, abs=1e-7)
    assert distribution_distance(np.array([1, 0]), np.array([0, 5])) == pytest.approx(1.0)
    assert distribution_distance(one, np.zeros(50)) == distribution_distance(np.zeros(50), one) == 1.0
    assert distribution_distance(np.zeros(50), np.zeros(50)) == 0.0


def test_exposure_bias_is_the_partial_correlation_of_the_ranks():
    """By the inverse of the correlation matrix, which gives partial correlations in another way."""
    exposure, popularity, relevance = RNG.random((3, 300)) + RNG.random(300)
    inverse = np.linalg.inv(spearmanr(np.stack([exposure, popularity, relevance], axis=1)).statistic)
    expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    assert exposure_bias(exposure, popularity, relevance) == pytest.approx(expected)


def test_exposure_bias_is_none_where_relevance_explains_it_and_large_where_popularity_does():
    relevance, noise = RNG.random(3000), RNG.random(3000)
    popularity = relevance + noise
    assert abs(exposure_bias(relevance + RNG.random(3000), popularity, relevance)) < 0.06
    assert exposure_bias(relevance + 0.9 * noise, popularity, relevance) > 0.9
    assert exposure_bias(relevance - noise, popularity, relevance) < -0.9
    assert exposure_bias(relevance, popularity, relevance) == 0.0


def test_the_share_of_a_part():
    assert share_within(np.array([1, 2, 5]), np.array([True, False, True])) == 0.75
    assert share_within(np.zeros(3), np.ones(3, dtype=np.bool_)) == 0.0


def test_homogeneity_is_the_mean_jaccard_index_of_all_pairs():
    lists = np.array([[0, 1, 2], [2, 1, 0], [0, 3, 4], [5, 6, NO_ITEM]], dtype=np.int32)
    sets = [{item for item in row if item != NO_ITEM} for row in lists.tolist()]
    pairs = [(a, b) for a in range(4) for b in range(a)]
    expected = np.mean([len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in pairs])
    assert homogeneity(lists, np.random.default_rng(1), pairs=40_000) == pytest.approx(expected, abs=0.01)
    assert homogeneity(lists[[0, 0, 1]], np.random.default_rng(1)) == 1.0
    assert homogeneity(lists[2:], np.random.default_rng(1)) == 0.0
    assert homogeneity(lists[:1], np.random.default_rng(1)) == 0.0


def test_attraction_is_the_odds_against_clicking_on_nothing():
    chances = np.array([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0]])
    available = np.array([True, True, False, True])
    found = attraction_of_choice(chances, available, outside=2.0)
    # Among what is available, 2/3 and 1/3 of the choices: 2 and 1 times an average item of three.
    np.testing.assert_allclose(found[0], [2 / (2 + 2), 1 / (1 + 2), 0, 0])
    assert (found[1] == 0).all()  # what this person wants is not there
