"""Every device's matrices in one public low-rank basis, another one in each round (CoLR: Nguyen et al., "Towards Efficient Communication and Secure
Federated Recommendation System via Low-rank Training", WWW 2024).

The paper trains within the basis; with one local step, that is what projecting the update gives. All devices share the basis, so the sum of what they
send is what the sum of their updates would be sent as: a linear map.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.compression.codec import Codec, Encoded, Stretch, total_size
from everbloom.compression.matrices import Split, orthonormal
from everbloom.methods import Compression
from everbloom.seeding import PublicDraws, numpy_generator


class Colr(Compression):
    """M [m, n] is sent as its coordinates in `rank` directions of its smaller side: for an item table [items, dim], items x rank numbers."""

    name: Literal["colr"]
    rank: PositiveInt = 4

    def open(self, blocks: Sequence[Stretch]) -> Codec:
        """See `Compression`."""
        return ColrCodec(blocks, self.rank)


class ColrCodec(Codec):
    """Numbers alone. The basis is orthonormal, so no vector grows: ||M B|| <= ||M||."""

    codes = 0

    def __init__(self, blocks: Sequence[Stretch], rank: int) -> None:
        self.params, self.rank = total_size(blocks), rank
        self.split = Split.of(blocks, self.params, lambda m, n: rank < min(m, n))
        self._sizes = [max(block.shape) * rank for block in self.split.matrices]
        self.numbers = sum(self._sizes) + int(self.split.rest.sum())

    def encode(self, vectors: NDArray[np.float32], draws: PublicDraws) -> Encoded:
        """See `Codec`."""
        numbers = []
        for matrix, basis in zip(self.split.cut(vectors), self._bases(draws), strict=True):
            tall = matrix if matrix.shape[2] == len(basis) else matrix.transpose(0, 2, 1)
            numbers.append((tall @ basis).reshape(len(vectors), -1))
        numbers.append(vectors[:, self.split.rest])
        return Encoded(np.concatenate(numbers, axis=1), np.zeros((len(vectors), 0), dtype=np.uint8))

    def decode(self, encoded: Encoded, draws: PublicDraws) -> NDArray[np.float32]:
        """See `Codec`."""
        found, at = [], 0
        for block, basis, size in zip(self.split.matrices, self._bases(draws), self._sizes, strict=True):
            tall = encoded.numbers[:, at : at + size].reshape(len(encoded.numbers), -1, self.rank) @ basis.T
            found.append(tall if block.shape[1] == len(basis) else tall.transpose(0, 2, 1))
            at += size
        return self.split.joined(found, encoded.numbers[:, at:])

    def _bases(self, draws: PublicDraws) -> list[NDArray[np.float32]]:
        """[smaller side, rank] of each matrix, by the round alone."""
        generator = numpy_generator(draws.seed, "colr", period=draws.period, round=draws.round)
        return [
            orthonormal(generator.standard_normal((min(block.shape), self.rank)).astype(np.float32))
            for block in self.split.matrices
        ]
