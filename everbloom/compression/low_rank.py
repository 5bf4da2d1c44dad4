"""Each matrix as a product of two thin ones, by one power iteration from a public start (PowerSGD: Vogels et al., NeurIPS 2019).

PowerSGD starts from its last round's result, which a device that is asked now and then does not have.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.compression.codec import Codec, Encoded, Stretch, total_size
from everbloom.compression.matrices import Split, orthonormal
from everbloom.errors import SchemaError
from everbloom.methods import Compression
from everbloom.seeding import PublicDraws, numpy_generator


class LowRank(Compression):
    """M [m, n] is sent as P Q' with orthonormal P [m, rank] and Q = M' P, which is M itself within the span of P: 4 rank (m + n) bytes."""

    name: Literal["low-rank"]
    rank: PositiveInt = 2

    def open(self, blocks: Sequence[Stretch]) -> Codec:
        """See `Compression`."""
        return LowRankCodec(blocks, self.rank)


class LowRankCodec(Codec):
    """Numbers: Q of each matrix, then all that is no matrix or would take as much. Codes: P of each matrix, whose columns have no length of their own
    to bound; never longer than the vector itself."""

    def __init__(self, blocks: Sequence[Stretch], rank: int) -> None:
        self.params, self.rank = total_size(blocks), rank
        self.split = Split.of(blocks, self.params, lambda m, n: rank * (m + n) < m * n and rank <= min(m, n))
        shapes = [block.shape for block in self.split.matrices]
        self._q = [n * rank for _, n in shapes]
        self._p = [m * rank for m, _ in shapes]
        self.numbers = sum(self._q) + int(self.split.rest.sum())
        self.codes = 4 * sum(self._p)

    def encode(self, vectors: NDArray[np.float32], draws: PublicDraws) -> Encoded:
        """See `Codec`."""
        generator = numpy_generator(draws.seed, "low-rank", period=draws.period, round=draws.round)
        clients = len(vectors)
        numbers, codes = [], [np.zeros((clients, 0), dtype=np.float32)]
        for matrix in self.split.cut(vectors):
            start = generator.standard_normal((matrix.shape[2], self.rank)).astype(np.float32)
            p = orthonormal(matrix @ start)
            numbers.append((matrix.transpose(0, 2, 1) @ p).reshape(clients, -1))
            codes.append(p.reshape(clients, -1))
        numbers.append(vectors[:, self.split.rest])
        sides = np.ascontiguousarray(np.concatenate(codes, axis=1), dtype="<f4")
        return Encoded(np.concatenate(numbers, axis=1), sides.view(np.uint8).reshape(clients, self.codes))

    def decode(self, encoded: Encoded, draws: PublicDraws) -> NDArray[np.float32]:
        """See `Codec`."""
        clients = len(encoded.numbers)
        sides = encoded.codes.view("<f4").astype(np.float32)
        if not (np.abs(sides) <= 1 + 1e-4).all():
            raise SchemaError("a device sent an unusable update: a basis whose columns are longer than 1")
        found, q_at, p_at = [], 0, 0
        for block, q_size, p_size in zip(self.split.matrices, self._q, self._p, strict=True):
            q = encoded.numbers[:, q_at : q_at + q_size].reshape(clients, block.shape[1], self.rank)
            p = sides[:, p_at : p_at + p_size].reshape(clients, block.shape[0], self.rank)
            found.append(p @ q.transpose(0, 2, 1))
            q_at, p_at = q_at + q_size, p_at + p_size
        return self.split.joined(found, encoded.numbers[:, q_at:])
