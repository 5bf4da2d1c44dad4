"""A catalogue as bytes, for a device that has no copy of the data set: the same catalogue gives the same bytes."""

import base64
import json
import zlib

import numpy as np
from numpy.typing import NDArray

from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError

_FORMAT = 1
MOST_BYTES = 1 << 30
"""Of an unpacked catalogue: more is refused before it is unpacked."""


def pack_catalogue(catalog: Catalog) -> bytes:
    """Compressed JSON; numbers and times keep every bit."""
    told = {
        "format": _FORMAT,
        "ids": list(catalog.item_ids),
        "fields": {name: list(column) for name, column in catalog.fields.items()},
        "numbers": {name: _packed(values.astype("<f4")) for name, values in catalog.numbers.items()},
        "first_seen": _packed(catalog.first_seen.astype("<i8")),
    }
    return zlib.compress(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(), 6)


def unpack_catalogue(data: bytes) -> Catalog:
    """The inverse. Raises `DataError` on anything else, or if it is too large."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MOST_BYTES)
        if stream.unconsumed_tail or not stream.eof:
            raise ValueError(f"not whole, or more than {MOST_BYTES} bytes")
        told = json.loads(text)
        if told["format"] != _FORMAT:
            raise ValueError(f"format {told['format']!r}, expected {_FORMAT}")
        ids = StringColumn.of(map(_text, told["ids"]))
        catalog = Catalog(
            ids,
            {_text(name): StringColumn.of(map(_text, column)) for name, column in told["fields"].items()},
            {_text(name): _unpacked(values, "<f4").astype(np.float32) for name, values in told["numbers"].items()},
            _unpacked(told["first_seen"], "<i8").astype(np.int64),
        )
        lengths = {len(catalog.first_seen), *map(len, catalog.fields.values()), *map(len, catalog.numbers.values())}
        if lengths != {len(ids)} or len(set(ids)) != len(ids):
            raise ValueError("columns of different lengths, or an id twice")
        if not all(name.isidentifier() for name in (*catalog.fields, *catalog.numbers)):
            raise ValueError("a field whose name is no name")
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise DataError(f"bytes that are no catalogue of this version of everbloom: {error!r}") from None
    return catalog


def _packed(values: NDArray[np.generic]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _unpacked(text: str, kind: str) -> NDArray[np.generic]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=kind)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text was expected")
    return value
