"""Accuracy of ranked lists. Every measure is kept per case, so that slices, intervals and paired comparisons are cheap.

For a case with n targets let rel_i be 1 if the item at rank i (from 1) is a target. At cut-off k:

- hr        1 if any rel_i = 1 for i <= k
- recall    sum_{i<=k} rel_i / n
- precision sum_{i<=k} rel_i / k
- f1        2 precision recall / (precision + recall), 0 without a hit
- ndcg      sum_{i<=k} rel_i / log2(i + 1), divided by its largest value, sum_{i<=min(k,n)} 1 / log2(i + 1)
- mrr       1 / rank of the first target within k, else 0
- map       sum_{i<=k} rel_i precision@i / n

These are trec_eval's success, recall, P, ndcg_cut, recip_rank (cut) and map_cut; map divides by n and not by min(k, n).
NDCG: Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002, with binary
gains. The others: Manning, Raghavan & Schütze, "Introduction to Information Retrieval", 2008, chapter 8. With one
target ndcg = ln 2 / ln(1 + rank), as papers on leave-one-out state it.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

MEASURES = ("hr", "ndcg", "recall", "precision", "f1", "mrr", "map")
"""The names of the measures, in the order of the records."""


def metric_keys(ks: Iterable[int]) -> list[str]:
    """`hr@5, ndcg@5, ..., hr@10, ...`: the keys of `per_case`, in order."""
    return [f"{measure}@{k}" for k in sorted(set(ks)) for measure in MEASURES]


def per_case(hits: NDArray[np.bool_], targets: NDArray[np.int64], ks: Iterable[int]) -> dict[str, NDArray[np.float64]]:
    """Each measure at each cut-off: key `measure@k` -> [cases] values in [0, 1].

    `hits` [cases, k_max]: whether the item at each rank is a target; `targets` [cases]: how many targets the case has,
    ranked or not, at least 1. Raises `ValueError` on a cut-off outside 1..k_max, a case without targets, or one with
    more hits than targets.
    """
    cutoffs = sorted(set(ks))
    _check(hits, targets, cutoffs)
    ranks = np.arange(1, hits.shape[1] + 1)
    gains = 1 / np.log2(ranks + 1)
    found = np.cumsum(hits, axis=1)
    dcg = np.cumsum(hits * gains, axis=1)
    precision_sum = np.cumsum(hits * (found / ranks), axis=1)
    ideal_dcg = np.cumsum(gains)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), hits.shape[1])
    values: dict[str, NDArray[np.float64]] = {}
    for k in cutoffs:
        at = k - 1
        count = found[:, at]
        values[f"hr@{k}"] = (count > 0).astype(np.float64)
        values[f"ndcg@{k}"] = dcg[:, at] / ideal_dcg[np.minimum(targets, k) - 1]
        values[f"recall@{k}"] = count / targets
        values[f"precision@{k}"] = count / k
        # 2PR / (P + R) with P = c/k and R = c/n is 2c / (k + n), which is also right without a hit.
        values[f"f1@{k}"] = 2 * count / (k + targets)
        values[f"mrr@{k}"] = np.where(first < k, 1 / (first + 1), 0.0)
        values[f"map@{k}"] = precision_sum[:, at] / targets
    return values


def means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """The mean over cases of each measure; every case counts alike."""
    return {key: float(np.mean(column)) for key, column in values.items()}


def bootstrap_interval(
    values: NDArray[np.float64], generator: np.random.Generator, *, level: float = 0.95, resamples: int = 1000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over users.

    Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    `values` [cases]: one value a user, or the per-user difference of two models for a paired comparison. It says how
    far the mean depends on which users there were, and nothing about the seed of the training. Raises `ValueError`
    without values or with a level outside (0, 1).
    """
    if len(values) == 0 or not 0 < level < 1:
        raise ValueError(
            f"expected at least one value and a level in (0, 1), got {len(values)} values and level {level}"
        )
    # One resample at a time: [resamples, cases] at once would not fit for a million users.
    resampled = [values[generator.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check(hits: NDArray[np.bool_], targets: NDArray[np.int64], cutoffs: list[int]) -> None:
    if not cutoffs or cutoffs[0] < 1 or cutoffs[-1] > hits.shape[1]:
        raise ValueError(f"ks: expected cut-offs in 1..{hits.shape[1]} (the ranked list's length), got {cutoffs}")
    if targets.shape != hits.shape[:1]:
        raise ValueError(f"targets: expected one count for each of {hits.shape[0]} cases, got shape {targets.shape}")
    if (targets < 1).any():
        raise ValueError("targets: a case without targets has no accuracy; leave it out")
    if (hits.sum(axis=1) > targets).any():
        raise ValueError("hits: a case has more hits than targets; a target must be ranked once")
