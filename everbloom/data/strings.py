"""A column of strings that can be memory-mapped: one UTF-8 blob and offsets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.data.ranges import flat_ranges


@dataclass(frozen=True, eq=False)
class StringColumn:
    """`blob` uint8 [bytes], `offsets` int64 [rows + 1]."""

    blob: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Iterable[str]) -> "StringColumn":
        """Encodes the strings."""
        encoded = [string.encode() for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(piece) for piece in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return bytes(self.blob[self.offsets[row] : self.offsets[row + 1]]).decode()

    def __iter__(self) -> Iterator[str]:
        whole = self.blob.tobytes()
        bounds = self.offsets.tolist()
        for start, end in pairwise(bounds):
            yield whole[start:end].decode()

    def take(self, rows: NDArray[np.int64]) -> "StringColumn":
        """The strings of these rows, copied."""
        start, end = self.offsets[rows], self.offsets[rows + 1]
        _, place = flat_ranges(start, end)
        return StringColumn(self.blob[place], np.concatenate(([0], np.cumsum(end - start))).astype(np.int64))

    def save(self, folder: Path, name: str) -> None:
        """Writes `name.utf8.npy` and `name.offsets.npy`."""
        np.save(folder / f"{name}.utf8.npy", self.blob)
        np.save(folder / f"{name}.offsets.npy", self.offsets)

    @classmethod
    def open(cls, folder: Path, name: str) -> "StringColumn":
        """Memory-maps what `save` wrote."""
        return cls(open_array(folder / f"{name}.utf8.npy"), open_array(folder / f"{name}.offsets.npy"))


def open_array(path: Path) -> NDArray[Any]:
    """A saved array, memory-mapped read-only (an empty one cannot be mapped and is read)."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except ValueError:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
