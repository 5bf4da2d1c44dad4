"""A compressed update: some float32 numbers and some bytes, from which the server makes a vector again.

The vector is linear in the numbers for given bytes, so that an update can be made shorter after it was encoded: what bounds a sensitivity does so
last.
Every update of a model takes the same number of bytes, whatever is in it; its length tells nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import SchemaError
from everbloom.seeding import PublicDraws

_FLOAT = 4
"""Bytes of a number."""


@dataclass(frozen=True)
class Stretch:
    """One parameter within the flat vector: vector[start : start + product of `shape`]."""

    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its numbers."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def place(self) -> slice:
        """Where it is."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True, eq=False)
class Encoded:
    """`numbers` [clients, f] float32, `codes` [clients, b] uint8."""

    numbers: NDArray[np.float32]
    codes: NDArray[np.uint8]

    def scaled(self, factors: NDArray[np.float64]) -> "Encoded":
        """With vectors that are `factors` [clients] times as long."""
        return Encoded((self.numbers * factors[:, None]).astype(np.float32), self.codes)

    def rows(self) -> NDArray[np.uint8]:
        """[clients, bytes] what travels."""
        numbers = np.ascontiguousarray(self.numbers, dtype="<f4").view(np.uint8)
        return np.concatenate([numbers.reshape(len(self.codes), _FLOAT * self.numbers.shape[1]), self.codes], axis=1)


class Codec(ABC):
    """Of vectors [clients, params]. `numbers` and `codes`: floats and further bytes of an encoded one."""

    params: int
    numbers: int
    codes: int

    @property
    def size(self) -> int:
        """Bytes that one device sends."""
        return _FLOAT * self.numbers + self.codes

    @abstractmethod
    def encode(self, vectors: NDArray[np.float32], draws: PublicDraws) -> Encoded:
        """[clients, params] finite vectors of one client or more; each one's code depends on itself and on its client's draws alone."""

    @abstractmethod
    def decode(self, encoded: Encoded, draws: PublicDraws) -> NDArray[np.float32]:
        """[clients, params]; of `draws` nothing counts but the round. Raises `SchemaError` for codes that `encode` does not make."""

    def read(self, rows: NDArray[Any]) -> Encoded:
        """The inverse of `Encoded.rows`. Raises `SchemaError` unless these are `size` bytes each, with finite numbers."""
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != self.size:
            raise SchemaError(
                f"a device sent an unusable update: {rows.dtype} of shape {rows.shape[1:]}, expected {self.size} bytes"
            )
        split = _FLOAT * self.numbers
        numbers = np.ascontiguousarray(rows[:, :split]).view("<f4").astype(np.float32)
        if not np.isfinite(numbers).all():
            raise SchemaError("a device sent an unusable update: a number in it is not finite")
        return Encoded(numbers, np.ascontiguousarray(rows[:, split:]))


def total_size(blocks: Sequence[Stretch]) -> int:
    """Length of the flat vector."""
    return max((block.start + block.size for block in blocks), default=0)
