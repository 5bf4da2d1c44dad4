"""A catalogue as bytes, for a device that has no copy of the data set: the same catalogue gives the same bytes.

In parts: a head, then blocks of items in their order, each by itself. A catalogue that has grown has the blocks that it had, but for the last one.
"""

import base64
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError

_FORMAT = 2
_LENGTH = 4
"""Bytes that say how long a part is."""
BLOCK_ITEMS = 1000
"""Of a block; with texts of a few hundred characters some 100 kB of it are left."""
MOST_BYTES = 1 << 30
"""Of an unpacked catalogue: more is refused before it is unpacked."""


def pack_catalogue(catalog: Catalog) -> bytes:
    """All parts, one after the other."""
    return b"".join(catalogue_parts(catalog))


def catalogue_parts(catalog: Catalog) -> list[bytes]:
    """Compressed JSON, its length before it; numbers and times keep every bit."""
    head = {
        "format": _FORMAT,
        "items": len(catalog),
        "fields": list(catalog.fields),
        "numbers": list(catalog.numbers),
        "founding": catalog.founding,
        "retired": None if catalog.retired is None else np.flatnonzero(catalog.retired).tolist(),
    }
    blocks = (_block(catalog, slice(start, start + BLOCK_ITEMS)) for start in range(0, len(catalog), BLOCK_ITEMS))
    return [_part(told) for told in (head, *blocks)]


def unpack_catalogue(data: bytes) -> Catalog:
    """The inverse of `pack_catalogue`. Raises `DataError` on anything else, or if it is too large."""
    try:
        head, *blocks = _parts(data)
        if head["format"] != _FORMAT:
            raise ValueError(f"format {head['format']!r}, expected {_FORMAT}")
        names, numbers = [_text(name) for name in head["fields"]], [_text(name) for name in head["numbers"]]
        if not all(name.isidentifier() for name in (*names, *numbers)):
            raise ValueError("a field whose name is no name")
        catalog = Catalog(
            StringColumn.of(_text(one) for block in blocks for one in block["ids"]),
            {name: StringColumn.of(_text(one) for block in blocks for one in block["fields"][name]) for name in names},
            {name: _joined([block["numbers"][name] for block in blocks], "<f4").astype(np.float32) for name in numbers},
            _joined([block["first_seen"] for block in blocks], "<i8").astype(np.int64),
            head["founding"],
            _retired(head["retired"], head["items"]),
        )
        _check(catalog, head)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, zlib.error) as error:
        raise DataError(f"bytes that are no catalogue of this version of everbloom: {error!r}") from None
    return catalog


def _block(catalog: Catalog, rows: slice) -> dict[str, Any]:
    places = range(*rows.indices(len(catalog)))
    return {
        "ids": [catalog.item_ids[place] for place in places],
        "fields": {name: [column[place] for place in places] for name, column in catalog.fields.items()},
        "numbers": {name: _packed(values[rows].astype("<f4")) for name, values in catalog.numbers.items()},
        "first_seen": _packed(catalog.first_seen[rows].astype("<i8")),
    }


def _part(told: dict[str, Any]) -> bytes:
    data = zlib.compress(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(), 6)
    return len(data).to_bytes(_LENGTH, "big") + data


def _parts(data: bytes) -> list[dict[str, Any]]:
    found, left, place = [], MOST_BYTES, 0
    while place < len(data):
        end = place + _LENGTH + int.from_bytes(data[place : place + _LENGTH], "big")
        stream = zlib.decompressobj()
        text = stream.decompress(data[place + _LENGTH : end], left)
        if stream.unconsumed_tail or not stream.eof or stream.unused_data or end > len(data):
            raise ValueError(f"not whole, or more than {MOST_BYTES} bytes")
        left = max(1, left - len(text))  # 0 would be without a limit
        found.append(json.loads(text))
        place = end
    return found


def _check(catalog: Catalog, head: dict[str, Any]) -> None:
    """Raises `ValueError` unless its columns are of one length."""
    ids, founding = catalog.item_ids, catalog.founding
    lengths = {len(catalog.first_seen), *map(len, catalog.fields.values()), *map(len, catalog.numbers.values())}
    if lengths != {len(ids)} or head["items"] != len(ids) or len(set(ids)) != len(ids):
        raise ValueError("columns of different lengths, or an id twice")
    if founding is not None and not (isinstance(founding, int) and 1 <= founding <= len(ids)):
        raise ValueError(f"{founding!r} founding items of {len(ids)}")


def _retired(told: Any, items: int) -> NDArray[np.bool_] | None:
    if told is None:
        return None
    retired = np.zeros(items, dtype=np.bool_)
    retired[np.array(told, dtype=np.int64)] = True
    return retired


def _packed(values: NDArray[np.generic]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _joined(parts: list[str], kind: str) -> NDArray[np.generic]:
    return np.frombuffer(b"".join(base64.b64decode(text, validate=True) for text in parts), dtype=kind)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text was expected")
    return value
