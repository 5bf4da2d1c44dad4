"""Updates as integers modulo 2^bits with a share of noise in each, and their sum back as numbers.

A device encodes, some secure aggregation adds modulo 2^bits, the server decodes. All that both sides must agree on is one `Encoding`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.discrete import DiscreteAggregate, Law, discrete_noise
from everbloom.privacy.discrete.rotation import padded_size, rotate, unrotate
from everbloom.privacy.discrete.rounding import LARGEST_NORM, clipped, inflated_norm, rounded
from everbloom.privacy.discrete.samplers import LARGEST_DEVIATION, draw
from everbloom.privacy.noise import NoiseSource

DEVIATIONS = 6.0
"""So many standard deviations of a coordinate of the sum, if all clients send one and the same vector, fit on either side of zero. At six one
wraps around with probability below about 2 e^-18 = 3e-8; it then comes out wrong by 2^bits grid steps, which harms learning and not privacy."""

_BLOCK = 2**20
"""Coordinates in work at a time."""


@dataclass(frozen=True)
class Encoding:
    """The distributed discrete mechanism of one run, by public numbers alone.

    Formal guarantee: the decoded sum over at least `cohort_minimum` honest clients is that of `DiscreteAggregate` (`released`), with respect to
    replacing one client's update by zeros, for an adversary that sees the sum but no summand. Each update's norm is bounded here, in integers.
    """

    params: int
    clip_norm: float
    """C: an update [params] that is longer is scaled down to it."""
    cohort: int
    """Clients whose updates one sum may hold: the modulus has room for so many."""
    cohort_minimum: int
    """Clients on whose shares of noise the claim rests. 10% fewer than `cohort` make the noise 1 / sqrt(0.9) = 1.054 times as large."""
    noise_multiplier: float
    """z: deviation of the noise of `cohort_minimum` shares, over the inflated norm C~."""
    bits: int
    law: Law = "skellam"
    rotation_seed: int = 0
    """Public; best another one every round (`with_rotation`)."""

    def __post_init__(self) -> None:
        if self.params < 1 or not 1 <= self.cohort_minimum <= self.cohort or not 8 <= self.bits <= 32:
            raise PrivacyError(
                f"encoding: params {self.params}, cohort_minimum {self.cohort_minimum}, cohort {self.cohort}, bits {self.bits}; "
                "expected params >= 1, 1 <= cohort_minimum <= cohort and 8 to 32 bits"
            )
        if not (0 < self.clip_norm < math.inf and 0 < self.noise_multiplier < math.inf):
            raise PrivacyError(
                f"encoding: clip_norm {self.clip_norm}, noise_multiplier {self.noise_multiplier}; both must be above 0 and finite"
            )

    @property
    def padded(self) -> int:
        """Integers that one client sends."""
        return padded_size(self.params)

    @property
    def granularity(self) -> float:
        """g: what one grid step is worth, in the unit of the updates. The least for which the modulus has room."""
        return _granularity(replace(self, rotation_seed=0))

    @property
    def inflated_clip_norm(self) -> float:
        """C~: the largest norm of a rounded update, in the unit of the updates."""
        return inflated_norm(self.clip_norm, self.granularity, self.padded)

    @property
    def l2_square(self) -> int:
        """The largest squared norm of one client's integers before noise: enforced, hence the sensitivity."""
        return math.floor((self.inflated_clip_norm / self.granularity) ** 2)

    @property
    def l2_sensitivity(self) -> float:
        """In grid steps."""
        return math.sqrt(self.l2_square)

    @property
    def l1_sensitivity(self) -> float:
        """In grid steps: |x|_1 <= sqrt(d) |x|_2, and |x|_1 <= |x|_2^2 for integers."""
        return self.l2_sensitivity * min(math.sqrt(self.padded), self.l2_sensitivity)

    @property
    def share_variance(self) -> float:
        """(z C~ / g)^2 / cohort_minimum: of one client's noise, per coordinate, in squared grid steps."""
        return _share_variance(self, self.granularity)

    @property
    def released(self) -> DiscreteAggregate:
        """What the accountant needs to know of one round."""
        return DiscreteAggregate(
            law=self.law,
            l2_sensitivity=self.l2_sensitivity,
            l1_sensitivity=self.l1_sensitivity,
            share_variance=self.share_variance,
            shares=self.cohort_minimum,
            dimensions=self.padded,
        )

    @property
    def wraparound_probability(self) -> float:
        """Upper bound on the probability that any coordinate of one sum wraps around, over rotation, rounding and noise.

        Chernoff's bound for the worst updates there are, `cohort` equal ones of norm C. Rounding counts as if it were unconditional.
        """
        g, n, half = self.granularity, self.cohort, 2.0 ** (self.bits - 1)
        signal = (n * self.clip_norm / g) ** 2 / self.padded + n / 4
        noise = n * self.share_variance
        slope = half / (signal + noise)
        spread = noise * (slope**2 / 2 if self.law == "discrete-gaussian" else 2 * math.sinh(min(slope, 100) / 2) ** 2)
        return min(1.0, 2 * self.padded * math.exp(min(0.0, slope**2 * signal / 2 + spread - slope * half)))

    @property
    def dtype(self) -> type[np.uint16] | type[np.uint32]:
        """Of what is sent."""
        return np.uint16 if self.bits <= 16 else np.uint32

    def with_rotation(self, seed: int) -> "Encoding":
        """The same with another public rotation, as for another round."""
        return replace(self, rotation_seed=seed)

    def encode(self, delta: NDArray[np.floating], source: NoiseSource) -> NDArray[np.unsignedinteger[Any]]:
        """Updates [n, params] -> [n, padded], each clipped, rotated, rounded and noised, modulo 2^bits.

        Raises `PrivacyError` if an update holds a value that is not finite; then nothing is encoded. The noise is `source`'s: on a device it must
        not be a seeded one.
        """
        if delta.ndim != 2 or delta.shape[1] != self.params:
            raise PrivacyError(f"delta: shape {delta.shape}; expected [n, {self.params}]")
        encoded = np.empty((len(delta), self.padded), dtype=self.dtype)
        block = max(1, _BLOCK // self.padded)
        for start in range(0, len(delta), block):
            encoded[start : start + block] = self._encode(clipped(delta[start : start + block], self.clip_norm), source)
        return encoded

    def _encode(self, delta: NDArray[np.float64], source: NoiseSource) -> NDArray[np.int64]:
        grid = rotate(delta, self.rotation_seed)
        grid /= self.granularity
        # Noise first: how often rounding draws turns on the last digits of an update, and all noise behind it would.
        integers = draw(self.law, self.share_variance, grid.shape, source)
        integers += rounded(grid, self.l2_square, source).astype(np.int64)
        integers &= 2**self.bits - 1
        return integers

    def decode(self, total: NDArray[np.integer], count: int) -> NDArray[np.float64]:
        """The sum [padded] of `count` encoded updates, reduced modulo 2^bits or not -> the sum [params] of the updates, with its noise.

        Raises `PrivacyError` if so many were not provided for: fewer than `cohort_minimum` carry too little noise, more than `cohort` wrap around.
        """
        if not self.cohort_minimum <= count <= self.cohort:
            raise PrivacyError(
                f"count: a sum of {count} updates; the noise is made for {self.cohort_minimum} at least and the modulus for {self.cohort} at most"
            )
        if total.shape != (self.padded,):
            raise PrivacyError(f"total: shape {total.shape}; expected [{self.padded}]")
        half = 2 ** (self.bits - 1)
        residues = total.astype(np.int64) & (2 * half - 1)
        signed = np.where(residues < half, residues, residues - 2 * half).astype(np.float64)
        return unrotate(signed[None, :] * self.granularity, self.rotation_seed, self.params).reshape(self.params)


def calibrated(encoding: Encoding, participations: int, epsilon: float, delta: float) -> Encoding:
    """The encoding with the least noise that keeps a client that takes part so often within epsilon; its own noise multiplier is not looked at."""

    def released(multiplier: float) -> DiscreteAggregate:
        return replace(encoding, noise_multiplier=multiplier).released

    return replace(encoding, noise_multiplier=discrete_noise(released, participations, epsilon, delta))


def _share_variance(encoding: Encoding, granularity: float) -> float:
    inflated = inflated_norm(encoding.clip_norm, granularity, encoding.padded)
    return (encoding.noise_multiplier * inflated / granularity) ** 2 / encoding.cohort_minimum


@lru_cache(maxsize=4096)
def _granularity(encoding: Encoding) -> float:
    """The least granularity, to 1e-6 and rounded up, for which three things have room, all of which shrink as it grows:

    `DEVIATIONS` sqrt((n C)^2 / d + n (g^2 / 4 + v g^2)) / g in half the modulus (Kairouz, Liu and Steinke, 2021, section 4.2; n clients, v a share's
    variance), a share's deviation in its sampler's table, and the norm in exact arithmetic. Raises `PrivacyError` if there is none.
    """
    clip, n, d = encoding.clip_norm, encoding.cohort, encoding.padded

    def fits(g: float) -> bool:
        variance = _share_variance(encoding, g)
        spread = math.sqrt((n * clip / g) ** 2 / d + n * (0.25 + variance))
        return (
            spread * DEVIATIONS <= 2 ** (encoding.bits - 1)
            and variance <= LARGEST_DEVIATION**2
            and inflated_norm(clip, g, d) <= LARGEST_NORM * g
        )

    if not fits(clip):
        raise PrivacyError(
            f"bits: {encoding.bits}; a grid step as long as the clip norm would still be too fine for the sum of {n} clients with noise multiplier "
            f"{encoding.noise_multiplier:g}; take more bits, or a smaller cohort"
        )
    return _least(fits, clip)


def _least(fits: Callable[[float], bool], high: float) -> float:
    """The least number that fits, `high` being one: halved while possible, then bisected to 1e-6."""
    while fits(high / 2):
        high /= 2
    low = high / 2
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
