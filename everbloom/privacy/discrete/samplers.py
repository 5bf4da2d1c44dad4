"""Discrete Gaussian and Skellam integers from uniform words.

Both are drawn by inversion from a table of cumulative probabilities, in integers: no float is compared, and a draw takes a fixed number of words (but
for one in 2^50), where a rejection sampler's number depends on what it draws. The table is computed with more than 128 bits and keeps 128 of each
probability; what is drawn differs from the law by less than 2^-100 in total variation, which no delta notices. Means are zero.

Discrete Gaussian: P(x) proportional to exp(-x^2 / (2 v)) (Canonne, Kamath and Steinke, NeurIPS 2020, arXiv:2004.00010). Its variance is v but for a
term of e^(-2 pi^2 v), and a sum of them is not quite one.

Skellam of variance v: P(x) = e^-v I_|x|(v), the difference of two Poisson numbers of mean v / 2. Shares of variances v1 and v2 add up to exactly a
Skellam number of variance v1 + v2 (Agarwal, Kairouz and Liu, 2021).
"""

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.discrete import Law
from everbloom.privacy.noise import NoiseSource

LARGEST_DEVIATION = 2**14
"""Of one share: a table of thirteen deviations has to fit into memory, and a finer grid would gain nothing."""


def draw(law: Law, variance: float, shape: tuple[int, ...], source: NoiseSource) -> NDArray[np.int64]:
    """`shape` independent integers of that law. Raises `PrivacyError` unless 0 < variance <= LARGEST_DEVIATION^2."""
    if not 0 < variance <= LARGEST_DEVIATION**2:
        raise PrivacyError(
            f"variance: {variance:g} of a share of noise; must be above 0 and at most {LARGEST_DEVIATION}^2"
        )
    count = math.prod(shape)
    magnitudes = _table(law, float(variance)).draw(count, source)
    negative = np.unpackbits(source.words((count + 63) // 64).view(np.uint8), count=count).view(np.bool_)
    np.negative(magnitudes, out=magnitudes, where=negative)
    return magnitudes.reshape(shape)


@dataclass(frozen=True, eq=False)
class _Table:
    """Cumulative probabilities of 0, 1, 2, ... in units of 2^-128: the upper and the lower 64 bits of each [size].

    A uniform 128-bit number draws how many of them are at most it; its lower word is only drawn where the upper one does not decide.
    """

    upper: NDArray[np.uint64]
    lower: NDArray[np.uint64]
    guide: NDArray[np.int64]
    """[2^_GUIDE_BITS] how many of `upper` are below the words that begin with these bits (Chen and Asau, 1974)."""

    def draw(self, n: int, source: NoiseSource) -> NDArray[np.int64]:
        words = source.words(n)
        places: NDArray[np.int64] = self.guide[words >> np.uint64(64 - _GUIDE_BITS)]
        behind = self.upper[places] < words
        places += behind
        # One step is enough nearly everywhere; the tail's numbers lie close together and are searched for.
        left = np.flatnonzero(behind)
        left = left[self.upper[places[left]] < words[left]]
        places[left] = np.searchsorted(self.upper, words[left], side="left")
        undecided = np.flatnonzero(self.upper[places] == words)
        for place, word in zip(undecided, source.words(len(undecided)), strict=True):
            start, stop = places[place], np.searchsorted(self.upper, words[place], side="right")
            places[place] = start + np.searchsorted(self.lower[start:stop], word, side="right")
        return places


_GUIDE_BITS = 14
_TAIL_BITS = 128
_FIXED_POINT = 256


@lru_cache(maxsize=16)
def _table(law: Law, variance: float) -> _Table:
    weights = _skellam_weights(variance) if law == "skellam" else _gaussian_weights(variance)
    total = 2 * sum(weights) - weights[0]
    sums = accumulate(weight if x == 0 else 2 * weight for x, weight in enumerate(weights))
    # The last one is 1, which no 128-bit number reaches.
    cumulative = [min((each << 128) // total, 2**128 - 1) for each in sums]
    upper = np.array([each >> 64 for each in cumulative], dtype=np.uint64)
    lower = np.array([each & (2**64 - 1) for each in cumulative], dtype=np.uint64)
    starts = np.arange(2**_GUIDE_BITS, dtype=np.uint64) << np.uint64(64 - _GUIDE_BITS)
    return _Table(upper, lower, np.searchsorted(upper, starts, side="left").astype(np.int64))


def _gaussian_weights(variance: float) -> list[int]:
    """exp(-x^2 / (2 v)) for x = 0, 1, ... until what is left is below 2^-_TAIL_BITS; fixed point."""
    one = 1 << _FIXED_POINT
    with localcontext(prec=100):
        ratio = int((Decimal(-1) / (2 * Decimal(variance))).exp() * one)
    square = ratio * ratio >> _FIXED_POINT
    weights = [one]
    for _ in range(math.ceil(math.sqrt(2 * variance * (_TAIL_BITS + 2) * math.log(2)))):
        weights.append(weights[-1] * ratio >> _FIXED_POINT)
        ratio = ratio * square >> _FIXED_POINT
    return weights


def _skellam_weights(variance: float) -> list[int]:
    """I_x(v) for x = 0, 1, ... up to a common factor.

    Backwards, by I_(x-1) = I_(x+1) + (2x/v) I_x, from beyond the tail: the wrong start dies out (Miller's algorithm).
    """
    top, bottom = variance.as_integer_ratio()
    before, weight = 0, 1 << 128
    weights = [weight]
    for x in range(_skellam_reach(variance), 0, -1):
        before, weight = weight, before + 2 * x * bottom * weight // top
        weights.append(weight)
    return weights[::-1]


def _skellam_reach(variance: float) -> int:
    """The least x with P(X >= x) below 2^-(_TAIL_BITS + 2): Chernoff's bound exp(sqrt(v^2 + x^2) - v - x asinh(x / v))."""

    def exponent(x: int) -> float:
        # The first two terms as a quotient, since they nearly cancel.
        return x * x / (math.hypot(variance, x) + variance) - x * math.asinh(x / variance)

    high = 1
    while exponent(high) > -(_TAIL_BITS + 2) * math.log(2):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exponent(middle) > -(_TAIL_BITS + 2) * math.log(2) else (low, middle)
    return high
