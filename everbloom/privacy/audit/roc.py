"""How well scores tell two groups apart: the curve, the area under it with an interval, and the power at few false alarms."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from everbloom.privacy.audit.thresholds import Floats


@dataclass(frozen=True)
class Area:
    """Area under a ROC curve and its two-sided confidence interval; .5 is chance."""

    value: float
    low: float
    high: float


def curve(negatives: Floats, positives: Floats) -> tuple[Floats, Floats]:
    """(false positive rates, true positive rates) [distinct scores + 1], ascending from (0, 0) to (1, 1), of scores [n] and [p]."""
    values = np.unique(np.concatenate([negatives, positives]))[::-1]
    false = len(negatives) - np.searchsorted(np.sort(negatives), values)
    true = len(positives) - np.searchsorted(np.sort(positives), values)
    return np.concatenate([[0.0], false / len(negatives)]), np.concatenate([[0.0], true / len(positives)])


def area(negatives: Floats, positives: Floats, alpha: float = 0.05) -> Area:
    """P[positive > negative] + P[equal] / 2 over independent scores [n], [p] (at least 2 each), with DeLong's interval (DeLong et al., 1988)."""
    n, p = len(negatives), len(positives)
    together = rankdata(np.concatenate([positives, negatives]))
    above_negatives = (together[:p] - rankdata(positives)) / n
    below_positives = 1 - (together[p:] - rankdata(negatives)) / p
    error = math.sqrt(float(np.var(above_negatives, ddof=1)) / p + float(np.var(below_positives, ddof=1)) / n)
    return _interval(float(above_negatives.mean()), error, alpha)


def mean_area(areas: Floats, alpha: float = 0.05) -> Area:
    """Mean of areas [clients] (at least 2) of independent clients, with the normal interval of that mean."""
    return _interval(float(areas.mean()), float(np.std(areas, ddof=1)) / math.sqrt(len(areas)), alpha)


def area_of_marked(scores: Floats, marked: NDArray[np.bool_]) -> float:
    """Area of one ranking: `marked` [items] are those to be found by high `scores` [items]; both kinds there must be."""
    count = int(np.count_nonzero(marked))
    ranks = float(rankdata(scores)[marked].sum())
    return (ranks - count * (count + 1) / 2) / (count * (len(scores) - count))


def power_at(negatives: Floats, positives: Floats, false_positive: float) -> float:
    """Largest true positive rate of a threshold with at most this false positive rate."""
    false, true = curve(negatives, positives)
    return float(true[false <= false_positive].max())


def _interval(value: float, error: float, alpha: float) -> Area:
    half = float(ndtri(1 - alpha / 2)) * error
    return Area(value, max(0.0, value - half), min(1.0, value + half))
