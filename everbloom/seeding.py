"""All randomness derives from (seed, purpose, period, round, client).

A generator depends on nothing else: not on how many numbers were drawn before, not on the order in which clients run, not on the runtime. That is
what makes a resumed run equal an uninterrupted one and a parallel run equal a serial one. Nothing in the code uses a global generator.
"""

import hashlib

import numpy as np
import torch


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
