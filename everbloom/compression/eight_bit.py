"""One byte a parameter: integers from -127 to 127 with a scale for each block, stochastically rounded (QSGD: Alistarh et al., NeurIPS 2017)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.compression.codec import Codec, Encoded, Stretch, total_size
from everbloom.methods import Compression
from everbloom.seeding import PublicDraws

_MOST = 127


class EightBit(Compression):
    """Rounds up or down at random so that the mean is right: nearly a quarter of the bytes."""

    name: Literal["8-bit"]
    block: PositiveInt = 256
    """Parameters that share a scale, their largest magnitude."""

    def open(self, blocks: Sequence[Stretch]) -> Codec:
        """See `Compression`."""
        return EightBitCodec(total_size(blocks), self.block)


class EightBitCodec(Codec):
    """Scales, then a byte a parameter. May be longer than the vector itself, by rounding away from zero."""

    def __init__(self, params: int, block: int) -> None:
        self.params, self.codes, self.block = params, params, block
        self.numbers = -(-params // block)

    def encode(self, vectors: NDArray[np.float32], draws: PublicDraws) -> Encoded:
        """See `Codec`. The draws are public: nothing rests on their being secret."""
        blocks = self._blocks(vectors)
        scales = np.abs(blocks).max(axis=2).astype(np.float64) / _MOST
        steps = np.divide(blocks, scales[:, :, None], out=np.zeros(blocks.shape), where=scales[:, :, None] > 0)
        uniforms = self._blocks(draws.uniforms("rounding", self.params).astype(np.float32))
        levels = np.clip(np.floor(steps + uniforms), -_MOST, _MOST).astype(np.int8)
        codes = np.ascontiguousarray(levels.reshape(len(vectors), -1)[:, : self.params]).view(np.uint8)
        return Encoded(scales.astype(np.float32), codes)

    def decode(self, encoded: Encoded, draws: PublicDraws) -> NDArray[np.float32]:
        """See `Codec`."""
        levels = self._blocks(encoded.codes.view(np.int8).astype(np.float32))
        found: NDArray[np.float32] = levels * encoded.numbers[:, :, None]
        return np.ascontiguousarray(found.reshape(len(levels), -1)[:, : self.params])

    def _blocks(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """[clients, blocks, block], the last one filled up with zeros."""
        padded = np.pad(values, ((0, 0), (0, self.numbers * self.block - self.params)))
        return padded.reshape(len(values), self.numbers, self.block)
