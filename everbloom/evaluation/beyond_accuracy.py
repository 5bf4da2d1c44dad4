"""What accuracy does not see: how much of the catalogue is recommended, and how popular what is recommended is.

`items` [cases, k] are recommended lists (`Ranking.items` cut at k), `NO_ITEM` where a list is shorter; `available`
[items] says what could be recommended.
"""

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM

BEYOND_ACCURACY = ("coverage", "popularity", "gini")
"""The names of the measures, in the order of the records."""


def recommended_counts(items: NDArray[np.int32], available: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[available items] how often each of them is recommended.

    What is listed but not available (a case's own target) is not counted.
    """
    listed = items[items != NO_ITEM]
    return np.bincount(listed, minlength=len(available))[available]


def coverage(items: NDArray[np.int32], available: NDArray[np.bool_]) -> float:
    """Share of the available items that are in any list (Ge, Delgado & Jannach, "Beyond accuracy", RecSys 2010)."""
    counts = recommended_counts(items, available)
    return float(np.count_nonzero(counts) / len(counts))


def gini(items: NDArray[np.int32], available: NDArray[np.bool_]) -> float:
    """Gini coefficient of how often each available item is recommended: 0 all alike, towards 1 all the same few.

    sum_j (2j - n - 1) x_j / (n sum_j x_j) over the counts x in rising order, j from 1 (Fleder & Hosanagar, "Blockbuster
    culture's next rise or fall", Management Science 55(5), 2009). 0 if nothing is recommended.
    """
    counts = np.sort(recommended_counts(items, available)).astype(np.float64)
    total, n = counts.sum(), len(counts)
    if total == 0:
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * counts).sum() / (n * total))


def popularity_percentile(counts: NDArray[np.int64], available: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[items] share of the available items that are less popular, those of equal popularity counted half; else nan.

    `counts` [items]: training interactions. Its mean over the available items is 1/2, whatever the shape of the
    popularity.
    """
    known = np.sort(counts[available])
    below = np.searchsorted(known, counts, side="left")
    up_to = np.searchsorted(known, counts, side="right")
    return np.where(available, (below + up_to) / (2 * max(len(known), 1)), np.nan)


def popularity_bias(items: NDArray[np.int32], percentile: NDArray[np.float64]) -> float:
    """Mean popularity percentile of what is recommended: 1/2 for random lists, 1 for the most popular items only.

    The average recommendation popularity (Yin et al., "Challenging the long tail recommendation", VLDB 2012;
    Abdollahpouri et al., "Managing popularity bias", FLAIRS 2019) on percentiles, so that it compares between
    catalogues: the mean over cases of the mean over their lists. `percentile` [items] as from `popularity_percentile`.
    Cases without a list do not count; 0 if there are no lists.
    """
    values = np.where(items == NO_ITEM, np.nan, percentile[items])
    counted = ~np.isnan(values)
    length = counted.sum(axis=1)
    totals = np.where(counted, values, 0.0).sum(axis=1)
    listed = length > 0
    return float((totals[listed] / length[listed]).mean()) if listed.any() else 0.0


def beyond_accuracy(
    items: NDArray[np.int32], available: NDArray[np.bool_], counts: NDArray[np.int64], ks: tuple[int, ...]
) -> dict[str, float]:
    """`coverage@k, popularity@k, gini@k` for each cut-off, in rising order; `counts` [items]: training interactions."""
    percentile = popularity_percentile(counts, available)
    values: dict[str, float] = {}
    for k in sorted(set(ks)):
        values[f"coverage@{k}"] = coverage(items[:, :k], available)
        values[f"popularity@{k}"] = popularity_bias(items[:, :k], percentile)
        values[f"gini@{k}"] = gini(items[:, :k], available)
    return values
