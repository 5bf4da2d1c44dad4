"""A catalogue as bytes: the same comes out, and nothing but a whole catalogue is taken."""

import json
import zlib

import numpy as np
import pytest

from everbloom.data import catalog_bytes
from everbloom.data.catalog import Catalog
from everbloom.data.catalog_bytes import pack_catalogue, unpack_catalogue
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError


def catalogue(items: int = 3) -> Catalog:
    names = [f"item {number} é" for number in range(items)]
    return Catalog(
        StringColumn.of(names),
        {"title": StringColumn.of([name.upper() for name in names]), "brand": StringColumn.of([""] * items)},
        {"price": np.linspace(-1, np.nan if items == 1 else 0.1, items).astype(np.float32)},
        np.arange(items, dtype=np.int64) - (1 << 40),
    )


def test_the_same_comes_out():
    given = catalogue()
    given.numbers["price"][1] = np.nan
    found = unpack_catalogue(pack_catalogue(given))
    assert found.digest() == given.digest()
    assert list(found.item_ids) == list(given.item_ids)
    assert {name: list(column) for name, column in found.fields.items()} == {
        name: list(column) for name, column in given.fields.items()
    }
    np.testing.assert_array_equal(found.numbers["price"], given.numbers["price"])
    np.testing.assert_array_equal(found.first_seen, given.first_seen)
    assert pack_catalogue(found) == pack_catalogue(given)


def test_a_saved_and_an_unpacked_catalogue_are_one(tmp_path):
    unpack_catalogue(pack_catalogue(catalogue())).save(tmp_path)
    assert Catalog.open(tmp_path).digest() == catalogue().digest()


def changed(**fields) -> bytes:
    told = json.loads(zlib.decompress(pack_catalogue(catalogue())))
    return zlib.compress(json.dumps({**told, **fields}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        pack_catalogue(catalogue())[:-3],
        zlib.compress(b"[]"),
        changed(format=2),
        changed(ids=["a", "b"]),
        changed(ids=["a", "a", "b"]),
        changed(ids=[1, 2, 3]),
        changed(first_seen="!"),
        changed(fields={"../../etc/passwd": ["a", "b", "c"]}),
        changed(numbers={"price": 3}),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(DataError, match="no catalogue of this version"):
        unpack_catalogue(data)


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(catalog_bytes, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="more than 1000 bytes"):
        unpack_catalogue(zlib.compress(b" " * 100_000))
