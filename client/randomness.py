"""Where a device's randomness comes from: the operating system on a real device, the experiment's seed in a simulation."""

import secrets
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from everbloom.learning.local import Draws
from everbloom.privacy.noise import CryptographicNoise, NoiseSource, SeededNoise
from everbloom.seeding import keys, torch_generator


class Randomness(Protocol):
    """Gives the draws of one round."""

    def draws(self, period: int, round: int) -> Draws:
        """Dropout key, sampling and noise generators."""
        ...

    def evaluation_noise(self, period: int, round: int) -> NoiseSource:
        """For what is measured after a round; never that round's own, whose noise is known once both are."""
        ...

    def replay(self, period: int, round: int) -> np.uint64:
        """Key of the draw of old events. No server may know it: which event pushes out which would tell where they stand."""
        ...


@dataclass(frozen=True)
class SeededRandomness:
    """Reproducible, for simulation and tests only: whoever knows the seed can subtract the noise."""

    seed: int
    client: int

    def draws(self, period: int, round: int) -> Draws:
        """Derived from (seed, purpose, period, round, client)."""
        place = {"period": period, "round": round, "client": self.client}
        return Draws(
            dropout=keys(self.seed, "dropout", np.array([self.client]), period=period, round=round)[0],
            sampling=torch_generator(self.seed, "sampling", **place),
            noise=SeededNoise(torch_generator(self.seed, "noise", **place)),
        )

    def evaluation_noise(self, period: int, round: int) -> NoiseSource:
        """See `Randomness`."""
        return SeededNoise(
            torch_generator(self.seed, "evaluation-noise", period=period, round=round, client=self.client)
        )

    def replay(self, period: int, round: int) -> np.uint64:
        """See `Randomness`."""
        return keys(self.seed, "replay", np.array([self.client]), period=period, round=round)[0]  # type: ignore[no-any-return]


class SystemRandomness:
    """Keyed by the operating system, which no server knows: noise by a block cipher, everything else by torch's generator from a fresh seed."""

    def draws(self, period: int, round: int) -> Draws:
        """Fresh at every call: a repeated round gets fresh noise. Which examples are drawn is secret too, from 63 bits of the system's."""
        return Draws(dropout=np.uint64(secrets.randbits(64)), sampling=_system_generator(), noise=CryptographicNoise())

    def evaluation_noise(self, period: int, round: int) -> NoiseSource:
        """Fresh at every call."""
        return CryptographicNoise()

    def replay(self, period: int, round: int) -> np.uint64:
        """Fresh at every call."""
        return np.uint64(secrets.randbits(64))


def _system_generator() -> torch.Generator:
    generator = torch.Generator()
    generator.manual_seed(secrets.randbits(63))
    return generator
