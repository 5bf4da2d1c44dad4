"""How an update is made shorter on its way."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    from everbloom.compression.codec import Codec, Stretch


class Compression(Method):
    """What an update becomes on its way to the server, after it was released."""

    feedback: bool = True
    """Whether a device remembers what it could not send and adds it to its next update: some state of the update's size on each device."""

    @abstractmethod
    def open(self, blocks: "Sequence[Stretch]") -> "Codec":
        """For vectors that hold these parameters. An encoded update of a model is always as long."""


COMPRESSIONS: Registry[Compression] = Registry(
    "compression",
    Compression,  # type: ignore[type-abstract]
    {
        "top-k": "everbloom.compression.top_k:TopK",
        "8-bit": "everbloom.compression.eight_bit:EightBit",
        "low-rank": "everbloom.compression.low_rank:LowRank",
        "colr": "everbloom.compression.colr:Colr",
    },
)
