"""A few numbers in [0, 1] from each device, for their sum alone: what is asked beside updates, at the price of one round."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.errors import PrivacyError
from everbloom.privacy.discrete.encoding import Encoding
from everbloom.privacy.noise import NoiseSource


@dataclass(frozen=True)
class CountingQuery:
    """Noise on sums of numbers that each device has bounded to a box of diagonal 1. Made by a plan, which says what one costs: what its rounds do.

    Formal guarantee: whatever a device holds, its answer lies in [0, 1/sqrt(d)]^d. Any change of its data, and its coming or going, moves the sum by
    at most 1 in L2 norm. With independent Gaussian noise of deviation s the sum is a Gaussian release of mu = 1/s for that device, whichever
    unit of its data is to be hidden.
    """

    device_noise: float = 0.0
    """Deviation of what each device adds to its own answer."""
    server_noise: float = 0.0
    """Deviation of what the server adds to the sum."""

    @property
    def draws_noise(self) -> bool:
        """Whether each device needs a source of noise."""
        return self.device_noise > 0

    @property
    def least(self) -> int:
        """Answers without which a sum is not opened."""
        return 1

    def zero(self, numbers: int) -> NDArray[Any]:
        """An empty sum of answers with so many numbers in them."""
        return np.zeros(numbers)

    def answer(self, values: NDArray[np.float64], noise: NoiseSource | None) -> NDArray[Any]:
        """What leaves a device that found `values` [d]: bounded here, whatever they are. `noise` if the device draws any."""
        return _bounded(values) + _drawn(len(values), self.device_noise, noise)

    def opened(
        self, total: NDArray[Any], numbers: int, answered: int, noise: NoiseSource | None
    ) -> NDArray[np.float64]:
        """[numbers] the sums, from the sum of so many answers. `noise` if the server adds any."""
        sums: NDArray[np.float64] = (total + _drawn(numbers, self.server_noise, noise)) * math.sqrt(numbers)
        return sums

    def deviation(self, answered: int, numbers: int) -> float:
        """Of the noise on each of the opened sums, from so many devices."""
        return math.sqrt(numbers * (answered * self.device_noise**2 + self.server_noise**2))


@dataclass(frozen=True, kw_only=True)
class EncodedQuery(CountingQuery):
    """The same as integers for a sum modulo 2^bits, each device adding its share of the noise: the first numbers of an update that is zero elsewhere.

    Formal guarantee: that of `Encoding`, as for any other update of at most its clip norm.
    """

    encoding: Encoding

    @property
    def draws_noise(self) -> bool:
        """See `CountingQuery`."""
        return True

    @property
    def least(self) -> int:
        """See `CountingQuery`: those on whose shares of noise the claim rests."""
        return self.encoding.cohort_minimum

    def zero(self, numbers: int) -> NDArray[Any]:
        """See `CountingQuery`."""
        return np.zeros(self.encoding.padded, dtype=self.encoding.dtype)

    def answer(self, values: NDArray[np.float64], noise: NoiseSource | None) -> NDArray[Any]:
        """See `CountingQuery`. Raises `PrivacyError` if the model has fewer parameters than there are numbers."""
        assert noise is not None, "every device adds its share"
        if len(values) > self.encoding.params:
            raise PrivacyError(
                f"evaluation.devices.measures: {len(values)} numbers do not fit a vector of {self.encoding.params}; ask for fewer"
            )
        whole = np.zeros((1, self.encoding.params))
        whole[0, : len(values)] = _bounded(values) * self.encoding.clip_norm
        return self.encoding.encode(whole, noise)[0]  # type: ignore[no-any-return]

    def opened(
        self, total: NDArray[Any], numbers: int, answered: int, noise: NoiseSource | None
    ) -> NDArray[np.float64]:
        """See `CountingQuery`. Raises `PrivacyError` if so many answers were not provided for."""
        decoded = self.encoding.decode(total, answered)[:numbers]
        return decoded * (math.sqrt(numbers) / self.encoding.clip_norm)

    def deviation(self, answered: int, numbers: int) -> float:
        """See `CountingQuery`; rounding to the grid, up to a half of a step each, counts as noise of variance 1/4."""
        steps = math.sqrt(answered * (self.encoding.share_variance + 0.25))
        return math.sqrt(numbers) * steps * self.encoding.granularity / self.encoding.clip_norm


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded: NDArray[np.float64] = np.nan_to_num(values, nan=0.0).clip(0.0, 1.0) / math.sqrt(len(values))
    return bounded


def _drawn(numbers: int, deviation: float, noise: NoiseSource | None) -> NDArray[np.float64]:
    if not deviation:
        return np.zeros(numbers)
    assert noise is not None, "who adds noise has a source of it"
    return noise.normal(torch.empty(numbers), deviation).numpy().astype(np.float64)
