"""Fetching: from files that are here, from an address, and never half."""

import gzip
import hashlib
import http.server
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from everbloom.data import fetch as fetching
from everbloom.data.downloads import DOWNLOADS, download_of
from everbloom.data.fetch import fetch, source_of
from everbloom.errors import DataError

U_DATA = "".join(f"{user}\t{item}\t3\t{880_000_000 + item}\n" for user in (1, 2) for item in (1, 2))
U_ITEM = "".join(
    f"{item}|Film {item} (1995)|01-Jan-1995||http://x|" + "|".join("01" + "0" * 17) + "\n" for item in (1, 2)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "given"
    made.mkdir()
    (made / "u.data").write_text(U_DATA)
    (made / "u.item.gz").write_bytes(gzip.compress(U_ITEM.encode()))
    (made / "holiday.jpg").write_text("not part of it")
    return made


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "ml-100k.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("ml-100k/", "")
        packed.writestr("ml-100k/u.data", U_DATA)
        packed.writestr("ml-100k/u.item", U_ITEM)
        packed.writestr("../README", "no part, and a path that leaves the folder")
    return path


@pytest.fixture
def server(tmp_path: Path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def address(monkeypatch, **changed):
    monkeypatch.setitem(DOWNLOADS, "ml-100k", replace(DOWNLOADS["ml-100k"], **changed))


def test_a_folder_gives_the_files_that_belong(folder, everbloom_home):
    fetched = fetch("ml-100k", folder)
    assert fetched.files == ["u.data", "u.item.gz"]
    assert fetched.folder == everbloom_home / "raw" / "ml-100k"
    assert (fetched.folder / "u.data").read_text() == U_DATA
    assert [path.name for path in fetched.folder.parent.iterdir()] == ["ml-100k"]


def test_a_zip_gives_them_too(archive, everbloom_home):
    assert fetch("ml-100k", archive).files == ["u.data", "u.item"]
    assert not (everbloom_home / "raw" / "README").exists()


def test_what_is_there_is_only_replaced_when_asked(folder, archive):
    fetch("ml-100k", folder)
    with pytest.raises(DataError, match=r"already in .*; use it as it is, or replace it with --force"):
        fetch("ml-100k", archive)
    assert fetch("ml-100k", archive, force=True).files == ["u.data", "u.item"]


def test_a_bad_replacement_leaves_what_was_there(folder, tmp_path):
    kept = fetch("ml-100k", folder)
    (tmp_path / "u.data").write_text("not\ta\trating\tfile\n")
    (tmp_path / "u.item").write_text(U_ITEM)
    with pytest.raises(DataError, match=r"u.data: row 1: time 'file' is not a Unix time"):
        fetch("ml-100k", tmp_path, force=True)
    assert (kept.folder / "u.data").read_text() == U_DATA
    assert [path.name for path in kept.folder.parent.iterdir()] == ["ml-100k"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path, "nothing of ml-100k here; expected u.data, u.item"),
        (lambda path: path / "none", "no such file or folder"),
        (lambda path: _written(path / "x.zip", "no zip"), "not a readable zip file"),
        (lambda path: _written(path / "u.data", U_DATA), "u.data and u.item .* not found"),
        (lambda path: _written(path / "u.data", ""), "not found"),
    ],
)
def test_what_cannot_be_taken_is_told_and_leaves_nothing(tmp_path, everbloom_home, make, told):
    with pytest.raises(DataError, match=told):
        fetch("ml-100k", make(tmp_path))
    assert list((everbloom_home / "raw").iterdir()) == []


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_download_is_checked_and_unpacked(archive, server, monkeypatch):
    md5 = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    address(monkeypatch, urls=(f"{server}/ml-100k.zip",), md5=md5)
    steps = []
    fetched = fetch("ml-100k", None, lambda done, total: steps.append((done, total)))
    assert fetched.files == ["u.data", "u.item"]
    size = archive.stat().st_size
    assert steps[-1] == (size, size)


def test_a_wrong_checksum_is_refused(archive, server, monkeypatch, everbloom_home):
    address(monkeypatch, urls=(f"{server}/ml-100k.zip",))
    with pytest.raises(DataError, match=r"has md5 .*, its publisher states 0e33842e24a9c977be4e0107933c0723"):
        fetch("ml-100k", None)
    assert list((everbloom_home / "raw").iterdir()) == []


def test_too_small_an_answer_is_refused(archive, server, monkeypatch):
    address(monkeypatch, urls=(f"{server}/ml-100k.zip",), md5=None, minimum_bytes=10**6)
    with pytest.raises(DataError, match="expected at least 1000000; try again"):
        fetch("ml-100k", None)


@pytest.mark.parametrize("path", ["gone.zip", None])
def test_without_an_answer_the_address_and_the_way_out_are_named(server, monkeypatch, path):
    url = f"{server}/{path}" if path else "http://127.0.0.1:9/ml-100k.zip"
    address(monkeypatch, urls=(url,))
    with pytest.raises(DataError) as caught:
        fetch("ml-100k", None)
    told = str(caught.value)
    assert told.startswith(f"ml-100k: cannot download {url} (")
    assert "`everbloom data fetch ml-100k --from PATH`" in told
    assert "\n" not in told


def test_a_data_set_without_address_says_where_to_look():
    with pytest.raises(
        DataError, match=r"no direct download; get \*.inter and \*.item from https://github.com/RUCAIBox/LLMRank"
    ):
        fetch("amazon-games", None)


def test_names():
    assert source_of("synthetic").name == "synthetic"
    assert source_of("amazon-games").name == "sequences"
    assert source_of("amazon-reviews/Video_Games").name == "amazon-reviews"
    assert "meta_Video_Games.jsonl.gz" in download_of("amazon-reviews/Video_Games").urls[1]
    with pytest.raises(
        DataError, match="unknown data set 'nope'; expected one of: movielens-small, synthetic, ml-100k"
    ):
        fetch("nope", None)
    with pytest.raises(DataError, match="needs no fetching"):
        fetch("movielens-small", None)
    for name in ("amazon-reviews", "amazon-reviews/../x", "table"):
        with pytest.raises(DataError, match="unknown data set"):
            source_of(name)


def test_an_interrupted_replacement_keeps_one_of_the_two(folder, archive, monkeypatch):
    kept = fetch("ml-100k", folder)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "_read_once", fail)
    with pytest.raises(KeyboardInterrupt):
        fetch("ml-100k", archive, force=True)
    assert (kept.folder / "u.item.gz").is_file()
