"""Deliveries in pieces: each is checked, a broken one goes on where it was, and nothing that was not announced gets through."""

import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from client.delivery import Delivery
from everbloom.errors import SchemaError
from everbloom.parcel import (
    Manifest,
    pack_missing,
    pack_parcel,
    pieces_of,
    unpack_missing,
    unpack_parcel,
)

DATA = bytes(range(256)) * 10
DIGEST = "ab" * 32


@given(st.binary(max_size=200), st.integers(1, 64))
def test_what_was_cut_up_is_put_together(data, size):
    pieces = pieces_of(data, size)
    assert b"".join(pieces) == data
    manifest = Manifest.of(data, size)
    assert manifest.size == len(data)
    found, some, digest = unpack_parcel(pack_parcel(manifest, dict(enumerate(pieces)), DIGEST))
    assert digest == DIGEST
    assert found == manifest
    assert some == dict(enumerate(pieces))


def test_a_delivery_goes_on_after_a_restart(tmp_path):
    manifest, pieces = Manifest.of(DATA, 1000), pieces_of(DATA, 1000)
    Delivery(tmp_path / "in").add(manifest, {2: pieces[2]})
    again = Delivery(tmp_path / "in")
    assert again.missing(manifest) == [0, 1]
    again.add(manifest, {0: pieces[0], 1: pieces[1]})
    assert again.missing(manifest) == []
    assert again.content(manifest) == DATA
    again.done()
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("broken", [DATA[:999], b"", DATA[:999] + b"x", DATA[:1001]])
def test_a_piece_that_is_cut_short_or_changed_is_not_kept(tmp_path, broken):
    manifest = Manifest.of(DATA, 1000)
    delivery = Delivery(tmp_path / "in")
    with pytest.raises(SchemaError, match="cut short or changed on the way, to be sent again"):
        delivery.add(manifest, {0: broken})
    assert delivery.missing(manifest) == [0, 1, 2]
    delivery.add(manifest, {0: DATA[:1000]})
    assert delivery.missing(manifest) == [1, 2]


def test_a_piece_that_was_damaged_on_the_disk_is_asked_for_again(tmp_path):
    manifest, pieces = Manifest.of(DATA, 1000), pieces_of(DATA, 1000)
    delivery = Delivery(tmp_path / "in")
    delivery.add(manifest, dict(enumerate(pieces)))
    (tmp_path / "in" / manifest.version / "1").write_bytes(b"x")
    with pytest.raises(SchemaError, match="piece 1"):
        delivery.content(manifest)
    assert delivery.missing(manifest) == [1]


def test_another_version_takes_the_place(tmp_path):
    delivery = Delivery(tmp_path / "in")
    delivery.add(Manifest.of(DATA, 1000), {0: DATA[:1000]})
    new = Manifest.of(DATA + b"x", 1000)
    delivery.add(new, {})
    assert [one.name for one in (tmp_path / "in").iterdir()] == [new.version]


@pytest.mark.parametrize(
    "change",
    [
        {"version": "../../x"},
        {"pieces": []},
        {"pieces": ["/etc/passwd"]},
        {"pieces": ["0" * 64] * 5000},
        {"size": "many"},
    ],
)
def test_a_message_that_is_no_parcel_is_refused(change):
    content = pack_parcel(Manifest.of(DATA), {}, DIGEST)
    for name, value in change.items():
        content["manifest"][name] = value
    with pytest.raises(SchemaError, match="no parcel of this version"):
        unpack_parcel(content)
    with pytest.raises(SchemaError):
        unpack_parcel(RecordDict())


def test_what_is_missing_is_told():
    assert unpack_missing(pack_missing([3, 4], "abc")) == ([3, 4], "abc")
    assert unpack_missing(pack_missing([], "abc")) == ([], "abc")
    for record in (RecordDict(), RecordDict({"parcel": ConfigRecord({"missing": "all", "held": ""})})):
        with pytest.raises(SchemaError, match="says nothing of a parcel"):
            unpack_missing(record)
    assert isinstance(pack_parcel(Manifest.of(DATA), {0: DATA}, DIGEST)["pieces"], ArrayRecord)
