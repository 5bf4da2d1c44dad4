"""A lower bound on epsilon from a single run with many canaries (Steinke, Nasr and Jagielski, 2023, "Privacy auditing with one (1) training run")."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from everbloom.privacy.audit.thresholds import Floats

_FRACTIONS = (1.0, 0.5, 0.2, 0.1)
"""Of the canaries that are guessed about: few sure guesses prove more where the noise is large against none of them, many where it is small."""


def epsilon_lower(
    scores: Floats, included: NDArray[np.bool_], delta: float, alpha: float = 0.05
) -> tuple[float, tuple[int, int, int]]:
    """The mechanism is not (epsilon, delta)-DP for one canary for any epsilon below the returned one, at confidence 1 - alpha; and (m, r, v).

    `scores` [canaries], high where the attacker believes in the canary; `included` [canaries], each by a fair coin of its own. The attacker guesses
    "in" for the r / 2 highest and "out" for the r / 2 lowest scores and is right v times. Several r are tried, each at its share of alpha.
    """
    canaries = len(scores)
    order = np.argsort(scores)
    best: tuple[float, tuple[int, int, int]] = (0.0, (canaries, 0, 0))
    for fraction in _FRACTIONS:
        each = max(1, int(canaries * fraction / 2))
        right = int(np.count_nonzero(included[order[-each:]]) + np.count_nonzero(~included[order[:each]]))
        found = _epsilon(canaries, 2 * each, right, delta, alpha / len(_FRACTIONS))
        best = max(best, (found, (canaries, 2 * each, right)), key=lambda result: result[0])
    return best


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """An upper bound on the probability that an (epsilon, delta)-DP mechanism lets so many guesses be right (their theorem 5.2).

    P[right >= v] <= beta + 2 m delta max_i (P[v > B >= v - i] / i), B ~ Binomial(r, e^epsilon / (1 + e^epsilon)), beta = P[B >= v].
    """
    accuracy = 1 / (1 + math.exp(-epsilon))
    beta = float(binom.sf(right - 1, guesses, accuracy))
    if delta == 0 or right == 0:
        return min(1.0, beta)
    shortfalls = np.arange(1, right + 1)
    within = np.cumsum(binom.pmf(right - shortfalls, guesses, accuracy))
    return min(1.0, beta + 2 * canaries * delta * float((within / shortfalls).max()))


def _epsilon(canaries: int, guesses: int, right: int, delta: float, alpha: float) -> float:
    """The largest epsilon that is refuted at this level; 0 if none is."""
    if right == 0 or p_value(canaries, guesses, right, 0.0, delta) > alpha:
        return 0.0
    low, high = 0.0, 1.0
    while p_value(canaries, guesses, right, high, delta) < alpha and high < 64:
        low, high = high, 2 * high
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(canaries, guesses, right, middle, delta) >= alpha else (middle, high)
    return low
