"""The two error rates of a distinguisher that says "the canary is there" from some threshold on; chosen on one half of the runs, bounded on the
other.

A threshold that was chosen on the runs it is judged by would look better than it is, and what it proves would be no bound.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

Floats = NDArray[np.float64]

_CAUTION = 100.0
"""A threshold is chosen by bounds of so much more confidence: those at which few runs err by luck look less good than they would, and are what luck
makes of a choice among many.
"""


@dataclass(frozen=True)
class ErrorBounds:
    """Of one threshold, at confidence 1 - alpha together: upper bounds on P[statistic >= threshold | no canary] and on
    P[statistic < threshold | canary].

    `runs` is the number of runs in both worlds that they rest on.
    """

    threshold: float
    false_positive: float
    false_negative: float
    runs: int


def upper_bound(errors: ArrayLike, runs: int, alpha: float) -> Floats:
    """One-sided upper confidence bound on a probability of which `errors` of `runs` were seen (Clopper and Pearson, 1934): P[it fails] <= alpha."""
    seen = np.asarray(errors, dtype=np.float64)
    rest = np.maximum(runs - seen, 1e-9)
    return np.where(seen >= runs, 1.0, betaincinv(seen + 1, rest, 1 - alpha))


def bound_errors(
    without: Floats, with_canary: Floats, alpha: float, gain: Callable[[Floats, Floats], Floats]
) -> ErrorBounds:
    """Statistics of independent runs, [runs] each in either world, at least 4. `gain` (rates, rates) -> what a threshold with these bounds proves.

    Each of the two bounds is one-sided at alpha / 2. Every second run chooses, the others bound.
    """
    if min(len(without), len(with_canary)) < 4:
        raise ValueError(f"{len(without)} and {len(with_canary)} runs; expected at least 4 in either world")
    threshold = _choose(np.sort(without[::2]), np.sort(with_canary[::2]), alpha / _CAUTION, gain)
    no, yes = without[1::2], with_canary[1::2]
    return ErrorBounds(
        threshold=threshold,
        false_positive=float(upper_bound(np.count_nonzero(no >= threshold), len(no), alpha / 2)),
        false_negative=float(upper_bound(np.count_nonzero(yes < threshold), len(yes), alpha / 2)),
        runs=len(no) + len(yes),
    )


def _choose(without: Floats, with_canary: Floats, alpha: float, gain: Callable[[Floats, Floats], Floats]) -> float:
    """The threshold of the largest gain, half way between two statistics; between equals the one with the widest gap around it.

    Where nothing is random (no noise) the statistics are two points and rounding: only the middle separates them safely.
    """
    values = np.unique(np.concatenate([without, with_canary]))
    gaps = np.diff(values, prepend=values[0] - 1.0)
    candidates = values - gaps / 2
    false_positive = upper_bound(len(without) - np.searchsorted(without, candidates), len(without), alpha / 2)
    false_negative = upper_bound(np.searchsorted(with_canary, candidates), len(with_canary), alpha / 2)
    gains = gain(false_positive, false_negative)
    best = np.flatnonzero(gains >= gains.max() - 1e-12)
    return float(candidates[best[np.argmax(gaps[best])]])
