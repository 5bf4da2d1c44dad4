"""From real coordinates to integers, without bias, and with a norm that is certain.

Stochastic rounding takes each coordinate up with the probability of its fraction. The rounded vector may be longer than the vector, so the draw is
repeated until it is within a bound (conditional rounding: Kairouz, Liu and Steinke, 2021, theorem 1 and proposition 22). The bound is compared in
exact integers at the end, so the sensitivity holds whatever the arithmetic before did.
"""

import math

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import PrivacyError
from everbloom.privacy.noise import NoiseSource

BETA = math.exp(-0.5)
"""A draw is refused with at most this probability (far less often in many dimensions); the value makes sqrt(2 ln(1/beta)) one."""

LARGEST_NORM = 2**26
"""In integers: squares of norms stay exact in float64."""

_ATTEMPTS = 200
"""BETA to this power is 4e-44: whoever exceeds it was not clipped."""


def inflated_norm(clip_norm: float, granularity: float, padded: int) -> float:
    """C~, the largest norm that a vector of norm `clip_norm` may have once rounded to multiples of `granularity`.

    C~^2 = min{C^2 + g^2 d / 4 + sqrt(2 ln(1/beta)) g (C + g sqrt(d) / 2), (C + g sqrt(d))^2} (Kairouz, Liu and Steinke, 2021, theorem 1).
    """
    root = math.sqrt(padded)
    likely = clip_norm**2 + granularity**2 * padded / 4
    likely += math.sqrt(2 * math.log(1 / BETA)) * granularity * (clip_norm + granularity * root / 2)
    return min(math.sqrt(likely), clip_norm + granularity * root)


def clipped(updates: NDArray[np.floating], clip_norm: float) -> NDArray[np.float64]:
    """[n, params] with each row scaled down to norm `clip_norm` if it is longer. Raises `PrivacyError` if a value is not finite."""
    broken = ~np.isfinite(updates).all(axis=1)
    if broken.any():
        raise PrivacyError(
            f"update {int(np.flatnonzero(broken)[0])}: holds a value that is not finite, so nothing of it is sent"
        )
    values = updates.astype(np.float64)
    # Over the largest value first: squares of what float64 holds may be too large or too small for it.
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
    values /= np.where(largest > 0, largest, 1.0)
    norms = np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
    with np.errstate(over="ignore"):
        within = norms * largest <= clip_norm
    values *= np.where(within, largest, clip_norm / np.where(norms > 0, norms, 1.0))
    return values


def rounded(values: NDArray[np.float64], largest_square: int, source: NoiseSource) -> NDArray[np.float64]:
    """[n, padded] integers, held in float64, whose rows have squared norms of at most `largest_square`; unbiased but for that condition.

    Raises `PrivacyError` if a row cannot be rounded to one: it is not finite, or was not clipped.
    """
    if largest_square > LARGEST_NORM**2:
        raise PrivacyError(
            f"rounding: a norm of {math.sqrt(largest_square):.3g} is too fine a grid; at most {LARGEST_NORM}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        allowed = _squares(values) <= (math.sqrt(largest_square) + math.sqrt(values.shape[1])) ** 2
    if not allowed.all():  # also where a comparison with NaN is false
        raise PrivacyError(
            f"update {int(np.flatnonzero(~allowed)[0])}: not finite or not clipped; nothing of it is sent"
        )
    down = np.floor(values)
    chances = (values - down) * 2.0**32
    result = down + (_uniforms(down.shape, source) < chances)
    for _ in range(_ATTEMPTS):
        again = np.flatnonzero(_squares(result) > largest_square)
        if not len(again):
            return result
        result[again] = down[again] + (_uniforms((len(again), down.shape[1]), source) < chances[again])
    raise PrivacyError(f"update {int(again[0])}: no rounding of it is within the bound; it was not clipped")


def _squares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] squared norms of rows; exact for integers while below 2^53."""
    return np.asarray(np.einsum("ij,ij->i", values, values))


def _uniforms(shape: tuple[int, ...], source: NoiseSource) -> NDArray[np.uint32]:
    """32 bits each: the bias of a coordinate is below 2^-32 of a grid step."""
    count = math.prod(shape)
    return source.words((count + 1) // 2).view(np.uint32)[:count].reshape(shape)
