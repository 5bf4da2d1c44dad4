"""Where a server's own noise comes from, under plans that let it add noise to a sum."""

from collections.abc import Callable

from everbloom.privacy.noise import CryptographicNoise, NoiseSource, SeededNoise
from everbloom.seeding import torch_generator

ServerNoise = Callable[[int, int], NoiseSource]
"""(period, round) -> the round's source."""


def seeded_noise(seed: int, purpose: str = "server-noise") -> ServerNoise:
    """For simulations: the seed is in every message, so this hides nothing from anybody."""

    def source(period: int, round: int) -> NoiseSource:
        return SeededNoise(torch_generator(seed, purpose, period=period, round=round))

    return source


def secret_noise(period: int, round: int) -> NoiseSource:
    """For deployments: fresh from the operating system. A round that is done again gets other noise, so that two models do not share it."""
    return CryptographicNoise()
