"""Which parameters a rank makes smaller, and how the rest travels beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.compression.codec import Stretch


@dataclass(frozen=True)
class Split:
    """`matrices`: what is sent in a lower rank; `rest` [params] bool: what is sent as it is."""

    matrices: tuple[Stretch, ...]
    rest: NDArray[np.bool_]

    @classmethod
    def of(cls, blocks: Sequence[Stretch], params: int, worth: Callable[[int, int], bool]) -> "Split":
        """`worth`: whether a matrix of so many rows and columns is sent in a lower rank."""
        matrices = tuple(block for block in blocks if len(block.shape) == 2 and worth(*block.shape))
        rest = np.ones(params, dtype=np.bool_)
        for matrix in matrices:
            rest[matrix.place] = False
        return cls(matrices, rest)

    def cut(self, vectors: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """[clients, rows, columns] of each matrix."""
        return [vectors[:, matrix.place].reshape(-1, *matrix.shape) for matrix in self.matrices]

    def joined(self, matrices: Sequence[NDArray[np.float32]], rest: NDArray[np.float32]) -> NDArray[np.float32]:
        """[clients, params] of the matrices and the rest [clients, rest]."""
        found = np.zeros((len(rest), len(self.rest)), dtype=np.float32)
        found[:, self.rest] = rest
        for block, matrix in zip(self.matrices, matrices, strict=True):
            found[:, block.place] = matrix.reshape(len(rest), -1)
        return found


def orthonormal(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., n, r] an orthonormal basis of what the columns span, and of more where they span less than r dimensions."""
    basis, _ = np.linalg.qr(columns.astype(np.float64))
    return basis.astype(np.float32)
