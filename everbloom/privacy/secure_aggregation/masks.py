"""Masks: AES-256 in counter mode (NIST SP 800-38A) under a key that is used once, read as little-endian coordinates.

Coordinates are uniform over the dtype and stay so mod 2^bits; adding and subtracting wrap around, so masks cancel exactly.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from everbloom.errors import SchemaError
from everbloom.privacy.secure_aggregation.keys import derive, number
from everbloom.privacy.secure_aggregation.terms import Terms

Vector = NDArray[np.unsignedinteger[Any]]
"""[length] of `Terms.dtype`, each below 2^bits."""

_BLOCK = 16


def pair_mask_key(shared: bytes, binding: bytes, one: int, other: int) -> bytes:
    """The key of two neighbours' common mask; the same on both sides."""
    return derive(shared, binding, "pair mask", number(min(one, other)), number(max(one, other)))


def self_mask_key(seed: bytes, binding: bytes, device: int) -> bytes:
    """The key of a device's own mask."""
    return derive(seed, binding, "self mask", number(device))


def keystream(key: bytes, size: int) -> bytes:
    """`size` bytes of AES-256-CTR under a 32-byte key that is used once."""
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(_BLOCK))).encryptor().update(bytes(size))


class MaskStream:
    """Expands keys to masks; buffers are reused, so that a mask costs one pass of AES and no allocation."""

    def __init__(self, terms: Terms) -> None:
        # A fixed counter: no key ever encrypts twice, as each is derived for one pair (or device) in one aggregation.
        self._counter = modes.CTR(bytes(_BLOCK))
        self._zeros = bytes(terms.length * terms.dtype.itemsize)
        self._bytes = bytearray(len(self._zeros) + _BLOCK - 1)
        self._mask: Vector = np.frombuffer(self._bytes, dtype=terms.dtype, count=terms.length)

    def expand(self, key: bytes) -> Vector:
        """[length] the mask under a 32-byte key; overwritten by the next call."""
        Cipher(algorithms.AES256(key), self._counter).encryptor().update_into(self._zeros, self._bytes)
        return self._mask

    def add(self, total: Vector, key: bytes) -> None:
        """total [length] += mask, in place."""
        np.add(total, self.expand(key), out=total)

    def subtract(self, total: Vector, key: bytes) -> None:
        """total [length] -= mask, in place."""
        np.subtract(total, self.expand(key), out=total)


def reduce(vectors: Vector, terms: Terms) -> Vector:
    """vectors mod 2^bits, in place; a cost only where 2^bits is not the dtype's own modulus."""
    if terms.bits < 8 * terms.dtype.itemsize:
        np.bitwise_and(vectors, terms.dtype.type(2**terms.bits - 1), out=vectors)
    return vectors


def check_vector(vector: Vector, terms: Terms, shape: Iterable[int] | None = None) -> None:
    """Raises `SchemaError` for another dtype or shape than `[length]`, or a coordinate of 2^bits or more."""
    wanted = tuple(shape) if shape is not None else (terms.length,)
    if vector.dtype != terms.dtype or vector.shape != wanted:
        raise SchemaError(
            f"secure aggregation: vector is {vector.dtype} {vector.shape}, expected {terms.dtype} {wanted}"
        )
    if terms.bits < 8 * terms.dtype.itemsize and int(vector.max()) >= 2**terms.bits:
        raise SchemaError(f"secure aggregation: a coordinate is {int(vector.max())}, expected below 2^{terms.bits}")
