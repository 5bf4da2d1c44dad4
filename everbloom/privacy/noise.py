"""Where noise comes from: a seeded generator in a simulation, a block cipher keyed by the operating system where somebody is protected.

What a continuous mechanism really adds is a float32 number, and no float32 noise is exactly Gaussian: which numbers can come out at all depends on
rounding (Mironov, "On significance of the least significant bits for differential privacy", CCS 2012). An epsilon computed for real numbers holds
for these up to that attack, which neither source here excludes; the integer mechanisms of `privacy.discrete`, which ask a source for `words` only,
have no such gap. What differs between the two sources:

| | `SeededNoise` | `CryptographicNoise` |
|---|---|---|
| who can predict it | who knows the seed; who sees 624 words of a Mersenne Twister | who holds the key, or breaks AES-256 |
| largest value | 5.77 deviations (24-bit uniforms): delta of about 9e-7 at a noise multiplier of 1 | 8.57 deviations (53-bit uniforms): 1e-17 |
| computed in | float32 | float64, rounded once to float32 |
"""

import hmac
import math
import os
from typing import Protocol

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from everbloom.errors import PrivacyError


class NoiseSource(Protocol):
    """A stream of random numbers; each is given out once."""

    @property
    def kind(self) -> str:
        """What a run's record says of it."""
        ...

    def normal(self, buffer: torch.Tensor, deviation: float) -> torch.Tensor:
        """Fills a float32 tensor of any shape in place with N(0, deviation^2) and returns it. Raises `PrivacyError`."""
        ...

    def words(self, n: int) -> NDArray[np.uint64]:
        """[n] uniform 64-bit words."""
        ...


class SeededNoise:
    """For simulations and tests: a run can be repeated, and whoever knows the seed can subtract the noise.

    `normal` draws exactly the numbers of `buffer.normal_(0, deviation, generator=generator)`, hence those of Opacus given that generator.
    """

    kind = "seeded (simulation)"

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def normal(self, buffer: torch.Tensor, deviation: float) -> torch.Tensor:
        """See `NoiseSource`."""
        _check(buffer, deviation)
        return buffer.normal_(0, deviation, generator=self.generator)

    def words(self, n: int) -> NDArray[np.uint64]:
        """See `NoiseSource`."""
        # From the least int64 without an end: the one form of `random_` that covers all 64 bits.
        words = torch.empty(n, dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
        return words.numpy().view(np.uint64)


class CryptographicNoise:
    """AES-256 in counter mode: the keystream is the randomness, float64 Box-Muller turns it into normal numbers.

    Without a `key` the operating system gives a fresh one that is kept nowhere else. A given key [32 bytes] and `label` give a stream that can be
    drawn again, independent of that of any other label. That is for a server that resumes and must repeat what it released: **a label must never
    serve two different sums**, since the difference of the two releases would have no noise. The words of a stream are the same everywhere; its
    normal numbers may differ in the last bit between machines.

    A stream does not cross processes (it cannot be pickled, and refuses in a forked child): two processes would otherwise add the same noise.
    """

    def __init__(self, key: bytes | None = None, label: bytes = b"") -> None:
        if key is not None and len(key) != 32:
            raise PrivacyError(f"key: {len(key)} bytes; AES-256 takes 32, for example from os.urandom(32)")
        self.kind = "AES-256-CTR, keyed by the operating system" if key is None else "AES-256-CTR, keyed by the caller"
        # A key of its own for each label, so that all counters may start at zero (HMAC-SHA256 as a pseudorandom function).
        stream_key = hmac.digest(os.urandom(32) if key is None else key, b"everbloom noise/" + label, "sha256")
        self._keystream = Cipher(AES256(stream_key), CTR(bytes(16))).encryptor()
        self._process = os.getpid()

    def normal(self, buffer: torch.Tensor, deviation: float) -> torch.Tensor:
        """See `NoiseSource`. What a given stream yields depends on how the draws are cut into calls; two words go into two numbers."""
        _check(buffer, deviation)
        flat = torch.empty(buffer.numel(), dtype=torch.float32)
        for block in flat.split(_BLOCK):
            block.copy_(self._normal((len(block) + 1) // 2, deviation)[: len(block)])
        return buffer.copy_(flat.view(buffer.shape))

    def _normal(self, pairs: int, deviation: float) -> torch.Tensor:
        """[2 pairs] float64, by Box and Muller (1958): sqrt(-2 ln u) times the cosine and the sine of an independent uniform angle."""
        uniforms = torch.from_numpy((self.words(2 * pairs) >> np.uint64(11)).astype(np.float64))
        # Plus one: in (0, 1] once scaled, since the logarithm needs no zero.
        radius = uniforms[:pairs].add_(1).mul_(2.0**-53).log_().mul_(-2).sqrt_().mul_(deviation)
        angle = uniforms[pairs:].mul_(2 * math.pi * 2.0**-53)
        return torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)])

    def words(self, n: int) -> NDArray[np.uint64]:
        """See `NoiseSource`."""
        if os.getpid() != self._process:
            raise PrivacyError(
                "noise: this stream was opened in another process, which would draw the same numbers; open one in each process"
            )
        return np.frombuffer(self._keystream.update(bytes(8 * n)), dtype="<u8").astype(np.uint64, copy=False)


_BLOCK = 2**16
"""Normal numbers made at a time: what they pass through stays in the cache."""


def _check(buffer: torch.Tensor, deviation: float) -> None:
    """Raises `PrivacyError` rather than let a mechanism release less noise than it claims."""
    if buffer.dtype != torch.float32:
        raise PrivacyError(f"buffer: {buffer.dtype}; noise is drawn into float32 tensors")
    if not (deviation == 0 or 1e-30 <= deviation <= 1e30):
        raise PrivacyError(
            f"deviation: {deviation}; the noise needs a standard deviation of 0, or one that float32 can hold (1e-30 to 1e30)"
        )
