"""The largest entries alone (Aji & Heafield, EMNLP 2017; with error feedback: Stich et al., NeurIPS 2018)."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.compression.codec import Codec, Encoded, Stretch, total_size
from everbloom.config.numbers import Fraction
from everbloom.errors import SchemaError
from everbloom.methods import Compression
from everbloom.seeding import PublicDraws


class TopK(Compression):
    """Sends the entries of largest magnitude, each with its place: 8 bytes an entry."""

    name: Literal["top-k"]
    fraction: Fraction = 0.05
    """Of all parameters."""

    def open(self, blocks: Sequence[Stretch]) -> Codec:
        """See `Compression`."""
        params = total_size(blocks)
        return TopKCodec(params, max(1, math.ceil(self.fraction * params)))


class TopKCodec(Codec):
    """`kept` entries; never longer than the vector itself."""

    def __init__(self, params: int, kept: int) -> None:
        self.params, self.numbers, self.codes = params, kept, 4 * kept

    def encode(self, vectors: NDArray[np.float32], draws: PublicDraws) -> Encoded:
        """See `Codec`."""
        largest = np.argpartition(-np.abs(vectors), self.numbers - 1, axis=1)[:, : self.numbers]
        places = np.sort(largest, axis=1)
        codes = np.ascontiguousarray(places.astype("<u4")).view(np.uint8).reshape(len(vectors), self.codes)
        return Encoded(np.take_along_axis(vectors, places, axis=1), codes)

    def decode(self, encoded: Encoded, draws: PublicDraws) -> NDArray[np.float32]:
        """See `Codec`."""
        places = encoded.codes.view("<u4").astype(np.int64)
        if places.size and (places.max() >= self.params or (np.diff(places, axis=1) <= 0).any()):
            raise SchemaError(
                f"a device sent an unusable update: places that do not ascend within {self.params} parameters"
            )
        found = np.zeros((len(places), self.params), dtype=np.float32)
        np.put_along_axis(found, places, encoded.numbers, axis=1)
        return found
