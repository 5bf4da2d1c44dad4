"""The codec of a model's updates."""

from everbloom.compression.codec import Codec, Stretch
from everbloom.methods import Compression
from everbloom.models.layout import ParameterLayout


def codec_of(layout: ParameterLayout, compression: Compression | None) -> Codec | None:
    """None without compression."""
    if compression is None:
        return None
    return compression.open([Stretch(slot.start, slot.shape) for slot in layout.slots if slot.vector == "shared"])
