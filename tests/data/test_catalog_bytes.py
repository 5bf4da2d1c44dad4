"""A catalogue as bytes: the same comes out, and nothing but a whole catalogue is taken."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from everbloom.data import catalog_bytes
from everbloom.data.catalog import Catalog
from everbloom.data.catalog_bytes import catalogue_parts, pack_catalogue, unpack_catalogue
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


def part(told: object) -> bytes:
    data = zlib.compress(json.dumps(told).encode())
    return len(data).to_bytes(4, "big") + data


def changed(**fields) -> bytes:
    """One key of the head or of the only block."""
    head, block = (json.loads(zlib.decompress(one[4:])) for one in catalogue_parts(catalogue()))
    of_block = {key: value for key, value in fields.items() if key in ("ids", "first_seen")}
    return part({**head, **{key: fields[key] for key in fields.keys() - of_block.keys()}}) + part({**block, **of_block})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        pack_catalogue(catalogue())[:-3],
        part([]),
        part({}),
        changed(format=1),
        changed(items=4),
        changed(founding=4),
        changed(founding="all"),
        changed(retired=[7]),
        changed(retired=["x"]),
        changed(ids=["a", "b"]),
        changed(ids=["a", "a", "b"]),
        changed(ids=[1, 2, 3]),
        changed(first_seen="!"),
        part(
            {"format": 2, "items": 0, "fields": ["../../etc/passwd"], "numbers": [], "founding": None, "retired": None}
        ),
        changed(numbers=["price", "weight"]),
        catalogue_parts(catalogue())[0],
        pack_catalogue(catalogue()) + b"\0\0",
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(DataError, match="no catalogue of this version"):
        unpack_catalogue(data)


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(catalog_bytes, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="more than 1000 bytes"):
        unpack_catalogue(len(bomb := zlib.compress(b" " * 100_000)).to_bytes(4, "big") + bomb)


def test_what_was_retired_and_what_features_are_laid_out_by_come_along(tmp_path):
    given = replace(catalogue(), founding=2, retired=np.array([False, True, False]))
    found = unpack_catalogue(pack_catalogue(given))
    assert found.founding == 2
    assert found.retired is not None
    assert found.retired.tolist() == [False, True, False]
    assert found.there_from[1] == np.iinfo(np.int64).max
    found.save(tmp_path)
    digests = {given.digest(), found.digest(), Catalog.open(tmp_path).digest()}
    assert len(digests) == 1
    assert catalogue().digest() not in digests, "who has the texts alone has another catalogue"


def test_a_catalogue_that_has_grown_has_the_blocks_that_it_had(monkeypatch):
    monkeypatch.setattr(catalog_bytes, "BLOCK_ITEMS", 10)
    before, after = (catalogue_parts(replace(catalogue(items), numbers={})) for items in (35, 57))
    assert [len(parts) for parts in (before, after)] == [1 + 4, 1 + 6]
    assert before[1:4] == after[1:4]
    assert not {*before[:1], *before[4:]} & set(after)
