"""Coverage, concentration and popularity of what is recommended, on lists small enough to do by hand."""

import numpy as np
import pytest

from everbloom.data.events import NO_ITEM
from everbloom.evaluation.beyond_accuracy import (
    beyond_accuracy,
    coverage,
    gini,
    popularity_bias,
    popularity_percentile,
)

ALL = np.ones(4, dtype=np.bool_)


def test_coverage_counts_available_items_only() -> None:
    lists = np.array([[0, 1], [0, NO_ITEM]], dtype=np.int32)
    assert coverage(lists, ALL) == 0.5
    assert coverage(lists, np.array([True, False, True, False])) == 0.5


def test_gini_from_equal_to_one_item() -> None:
    assert gini(np.array([[0, 1], [2, 3]], dtype=np.int32), ALL) == pytest.approx(0)
    assert gini(np.array([[0], [0]], dtype=np.int32), ALL) == pytest.approx(3 / 4)
    assert gini(np.full((2, 3), NO_ITEM, dtype=np.int32), ALL) == 0


def test_gini_equals_the_mean_absolute_difference() -> None:
    lists = np.random.default_rng(0).integers(0, 30, (50, 5)).astype(np.int32)
    counts = np.bincount(lists.ravel(), minlength=30)
    by_definition = np.abs(counts[:, None] - counts[None]).mean() / (2 * counts.mean())
    assert gini(lists, np.ones(30, dtype=np.bool_)) == pytest.approx(by_definition)


def test_percentile_is_half_on_average_and_shares_ties() -> None:
    assert popularity_percentile(np.array([0, 5, 5, 9]), ALL).tolist() == [0.125, 0.5, 0.5, 0.875]
    available = np.array([True, True, True, False])
    percentile = popularity_percentile(np.array([0, 5, 7, 900]), available)
    assert np.isnan(percentile[3])
    assert percentile[:3].mean() == pytest.approx(0.5)


def test_popularity_bias_is_the_mean_of_the_lists_means() -> None:
    percentile = np.array([0.2, 0.4, 0.6, np.nan])
    lists = np.array([[0, 1, NO_ITEM], [2, 3, NO_ITEM], [NO_ITEM] * 3], dtype=np.int32)
    assert popularity_bias(lists, percentile) == pytest.approx((0.3 + 0.6) / 2)
    assert popularity_bias(np.full((1, 2), NO_ITEM, dtype=np.int32), percentile) == 0


def test_keys_and_cutoffs() -> None:
    lists = np.array([[3, 0], [3, 1]], dtype=np.int32)
    values = beyond_accuracy(lists, ALL, np.array([1, 2, 3, 4]), (2, 1))
    assert list(values) == ["coverage@1", "popularity@1", "gini@1", "coverage@2", "popularity@2", "gini@2"]
    assert values["coverage@1"] == 0.25
    assert values["coverage@2"] == 0.75
    assert values["popularity@1"] == pytest.approx(0.875)
