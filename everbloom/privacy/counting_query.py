"""A few numbers in [0, 1] from each device, for their sum alone: what is asked beside updates, at the price of one round."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

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

    def answer(self, values: NDArray[np.float64], noise: NoiseSource | None) -> NDArray[np.float64]:
        """[d] what leaves a device that found `values` [d]: bounded here, whatever they are. `noise` if the device adds any."""
        bounded = np.nan_to_num(values, nan=0.0).clip(0.0, 1.0) / math.sqrt(len(values))
        return bounded + _drawn(len(values), self.device_noise, noise)

    def opened(self, total: NDArray[np.float64], noise: NoiseSource | None) -> NDArray[np.float64]:
        """[d] the sums, from the sum of answers [d]. `noise` if the server adds any."""
        return (total + _drawn(len(total), self.server_noise, noise)) * math.sqrt(len(total))

    def deviation(self, clients: int, numbers: int) -> float:
        """Of the noise on each of the opened sums, from so many devices."""
        return math.sqrt(numbers * (clients * self.device_noise**2 + self.server_noise**2))


def _drawn(numbers: int, deviation: float, noise: NoiseSource | None) -> NDArray[np.float64]:
    if not deviation:
        return np.zeros(numbers)
    assert noise is not None, "who adds noise has a source of it"
    return noise.normal(torch.empty(numbers), deviation).numpy().astype(np.float64)
