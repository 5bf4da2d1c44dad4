"""The device's record: the first value stands, among processes and after a restart."""

import multiprocessing
from pathlib import Path

import pytest

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.record import FolderRecord, MemoryRecord, pin


@pytest.fixture(params=["memory", "folder"])
def record(request, tmp_path):
    return MemoryRecord() if request.param == "memory" else FolderRecord(tmp_path / "record")


def test_the_first_value_stands(record):
    assert record.get("1-0-0-roster") is None
    assert record.put("1-0-0-roster", b"one") == b"one"
    assert record.put("1-0-0-roster", b"two") == b"one"
    assert record.get("1-0-0-roster") == b"one"
    assert record.put("1-0-1-roster", b"two") == b"two"


def test_a_pin_may_be_repeated_and_not_moved(record):
    pin(record, "name", b"one", "another roster")
    pin(record, "name", b"one", "another roster")
    with pytest.raises(PrivacyError, match="already answered for another roster in this round"):
        pin(record, "name", b"two", "another roster")


def test_a_folder_outlives_its_process(tmp_path):
    FolderRecord(tmp_path).put("name", b"one")
    assert FolderRecord(tmp_path).put("name", b"two") == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_a_damaged_value_is_refused(tmp_path):
    FolderRecord(tmp_path).put("name", b"one")
    (tmp_path / "name").write_bytes(b"")
    with pytest.raises(PrivacyError, match="already answered"):
        pin(FolderRecord(tmp_path), "name", b"one", "this")


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PrivacyError, match="cannot be written"):
        FolderRecord(tmp_path / "file").put("name", b"one")


def _put(folder: str, value: bytes) -> bytes:
    return FolderRecord(Path(folder)).put("name", value)


def test_processes_that_race_agree(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        stood = pool.starmap(_put, [(str(tmp_path), bytes([value])) for value in range(40)])
    assert len(set(stood)) == 1
