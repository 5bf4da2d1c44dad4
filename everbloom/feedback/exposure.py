"""Whom exposure favours: what is shown, compared with what is liked and with what is popular."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from everbloom.data.events import NO_ITEM


def exposure_counts(items: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """[count] how often each item stands in the lists [users, n]."""
    return np.bincount(items[items != NO_ITEM], minlength=count)


Weights = NDArray[np.floating] | NDArray[np.int64]
"""[items] counts, probabilities, or anything else that adds up."""


def rank_correlation(one: Weights, other: Weights) -> float:
    """Spearman's: Pearson's correlation of the ranks, equal values with their mean rank; 0 if either side is constant."""
    left, right = rankdata(one), rankdata(other)
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / scale if scale > 0 else 0.0


def exposure_bias(exposure: Weights, popularity: Weights, relevance: Weights) -> float:
    """Whether, of items that are equally relevant, the more popular ones are shown more: 0 no, 1 as much as ranks can say.

    Partial rank correlation of exposure and popularity given true relevance, all [items]: (r_ep - r_er r_pr) / sqrt((1 - r_er^2)(1 - r_pr^2))
    (Kendall, "Partial rank correlation", Biometrika 32, 1942, on Spearman's coefficients). Lists whose exposure follows relevance alone (Singh &
    Joachims, "Fairness of exposure in rankings", KDD 2018) have none. 0 if relevance alone orders either side.
    """
    both = rank_correlation(exposure, popularity)
    shown, known = rank_correlation(exposure, relevance), rank_correlation(popularity, relevance)
    unexplained = (1.0 - shown**2) * (1.0 - known**2)
    return (both - shown * known) / float(np.sqrt(unexplained)) if unexplained > 1e-12 else 0.0


def share_within(weight: Weights, part: NDArray[np.bool_]) -> float:
    """Share of the weight [items] that lies on the items of `part`; 0 without any weight."""
    total = float(weight.sum())
    return float(weight[part].sum()) / total if total > 0 else 0.0


def distribution_distance(one: Weights, other: Weights) -> float:
    """Jensen-Shannon distance of two weightings [items] of the same items: 0 alike, 1 disjoint.

    sqrt(H(m) - (H(p) + H(q)) / 2) in bits, with m = (p + q) / 2; a metric (Endres & Schindelin, IEEE Trans. Information Theory 49(7), 2003). What has
    no weight at all is disjoint from what has some, and like its equal.
    """
    if not (one.sum() > 0 and other.sum() > 0):
        return float((one.sum() > 0) != (other.sum() > 0))
    left, right = one / one.sum(), other / other.sum()
    divergence = _entropy((left + right) / 2) - (_entropy(left) + _entropy(right)) / 2
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def _entropy(chances: NDArray[np.floating]) -> float:
    positive = chances[chances > 0]
    return float(-(positive * np.log2(positive)).sum())
