"""Do two models differ for people like these? Paired tests over users, each of whom both models served.

The statistic is the headline figure's: the mean over users of each period, and of these the mean over periods. Users are what is resampled, each with
all periods; they are taken as a sample of the people one wants to speak of. It says nothing about other seeds of the training.

- interval: percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13);
- permutation: each user's differences change sign together with probability 1/2, which changes nothing if the models are alike (Smucker, Allan &
  Carterette, "A comparison of statistical significance tests for information retrieval evaluation", CIKM 2007);
- sign test: of the users for whom the models differ, how many prefer the one; exact binomial.

Several comparisons are corrected by Holm ("A simple sequentially rejective multiple test procedure", 1979).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from everbloom.intervals import CONFIDENCE

_RESAMPLES = 2000
_PERMUTATIONS = 10_000
_HELD = 1 << 22
"""Counts to draw at once."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """`difference` is of the first to the second; `low` and `high` its 95% interval over users; `permutation` and `sign` are p-values, two-sided.
    `better` and `worse`: users for whom the first is so.
    """

    users: int
    difference: float
    low: float
    high: float
    permutation: float
    better: int
    worse: int
    sign: float


def compare_paired(first: Values, second: Values, rng: np.random.Generator) -> Paired:
    """[users, periods] a measure of each user in each tested period, NaN where there was no test. Raises `ValueError` if they are not paired."""
    if first.shape != second.shape or not np.array_equal(np.isnan(first), np.isnan(second)):
        raise ValueError("expected the same users in the same periods of both")
    known = ~np.isnan(first)
    if not known.any(axis=1).all() or not known.any(axis=0).all():
        raise ValueError("expected every user in some period, and somebody in every period")
    differences = np.where(known, first - second, 0.0)
    # Users with equal differences are alike to every resample: how often each kind is drawn is all that matters.
    kinds, counts = np.unique(np.hstack([np.round(differences, 9), known]), axis=0, return_counts=True)
    values, there = np.hsplit(kinds, 2)
    observed = float(_mean(counts @ values, counts @ there))
    resampled = np.concatenate([_mean(drawn @ values, drawn @ there) for drawn in _resamples(counts, rng)])
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    flipped = np.concatenate([_mean(signs @ values, counts @ there) for signs in _flips(counts, rng)])
    extreme = int((np.abs(flipped) >= abs(observed) - 1e-12).sum())
    own = differences.sum(axis=1)
    better, worse = int((own > 1e-9).sum()), int((own < -1e-9).sum())
    return Paired(
        users=len(first),
        difference=observed,
        low=float(low),
        high=float(high),
        permutation=(1 + extreme) / (1 + _PERMUTATIONS),
        better=better,
        worse=worse,
        sign=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, raised so that each below .05 keeps the chance of any false one below .05."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = highest
    return corrected


def _mean(sums: Values, counts: Values) -> Values:
    """Over the periods, of the means over users; [..., periods] each. A period of which a resample holds nobody is left out."""
    held = counts > 0
    means = np.divide(sums, counts, out=np.zeros_like(sums, dtype=np.float64), where=held)
    return np.asarray(means.sum(axis=-1) / np.maximum(held.sum(axis=-1), 1))


def _resamples(counts: NDArray[np.int64], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """[resamples, kinds] how often each kind is drawn when as many users as there are, are drawn with replacement."""
    users = int(counts.sum())
    for size in _portions(_RESAMPLES, len(counts)):
        yield rng.multinomial(users, counts / users, size=size)


def _flips(counts: NDArray[np.int64], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """[permutations, kinds] the sum of so many signs."""
    for size in _portions(_PERMUTATIONS, len(counts)):
        yield counts - 2 * rng.binomial(counts, 0.5, size=(size, len(counts)))


def _portions(total: int, width: int) -> Iterator[int]:
    size = max(1, _HELD // width)
    for start in range(0, total, size):
        yield min(size, total - start)
