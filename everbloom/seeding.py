"""All randomness derives from (seed, purpose, period, round, client).

A generator depends on nothing else: not on how many numbers were drawn before, not on the order in which clients run, not on the runtime. That is
what makes a resumed run equal an uninterrupted one and a parallel run equal a serial one. Nothing in the code uses a global generator.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


def derive(seed: int, purpose: str, *, period: int = 0, round: int = 0, client: int = 0) -> int:
    """The 63-bit seed of one use of randomness: the head of SHA-256 over its full name, so distinct uses get independent streams."""
    name = f"{seed}/{purpose}/{period}/{round}/{client}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1


def numpy_generator(
    seed: int, purpose: str, *, period: int = 0, round: int = 0, client: int = 0
) -> np.random.Generator:
    """A numpy generator for one use of randomness."""
    return np.random.default_rng(derive(seed, purpose, period=period, round=round, client=client))


def torch_generator(seed: int, purpose: str, *, period: int = 0, round: int = 0, client: int = 0) -> torch.Generator:
    """A torch CPU generator for one use of randomness."""
    generator = torch.Generator()
    generator.manual_seed(derive(seed, purpose, period=period, round=round, client=client))
    return generator


def keys(seed: int, purpose: str, clients: NDArray[np.int64], *, period: int = 0, round: int = 0) -> NDArray[np.uint64]:
    """[clients] where each one's sequence of `uniforms_from` begins; a client's key depends on its own number alone."""
    base = np.uint64(derive(seed, purpose, period=period, round=round))
    return _mix(base + _mix(clients.astype(np.uint64) * _GOLDEN + _GOLDEN))


def uniforms_from(starts: NDArray[np.uint64], n: int, skip: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """[keys, n] uniform in [0, 1): the next `n` values of each key's sequence after the first `skip` [keys] ones.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): for public draws over many clients at once, where a generator each would cost more than what is
    drawn. Not for noise: a device's noise comes from a generator of its own.
    """
    place = np.arange(1, n + 1, dtype=np.uint64)
    steps = place[None, :] if skip is None else place[None, :] + skip.astype(np.uint64)[:, None]
    return (_mix(starts[:, None] + steps * _GOLDEN) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniforms(
    seed: int, purpose: str, clients: NDArray[np.int64], n: int, *, period: int = 0, round: int = 0
) -> NDArray[np.float64]:
    """[clients, n] uniform in [0, 1): row c depends on `clients[c]` alone, not on who else is asked for."""
    return uniforms_from(keys(seed, purpose, clients, period=period, round=round), n)


@dataclass(frozen=True, eq=False)
class PublicDraws:
    """What a round draws for some clients [users] that tells nothing of them and may be known to the server."""

    seed: int
    clients: NDArray[np.int64]
    period: int
    round: int

    def uniforms(self, purpose: str, n: int) -> NDArray[np.float64]:
        """[clients, n]."""
        return uniforms(self.seed, purpose, self.clients, n, period=self.period, round=self.round)

    def of(self, places: NDArray[np.int64]) -> "PublicDraws":
        """Of the clients at these places; each draws what it would have drawn among all."""
        return PublicDraws(self.seed, self.clients[places], self.period, self.round)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser."""
    states = (states ^ (states >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    states = (states ^ (states >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return states ^ (states >> np.uint64(31))
