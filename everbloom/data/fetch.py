"""Fetching a data set: downloaded from its official address, or copied from files that are already here.

Everything goes into a draft folder, is read once to see that it is what it should be, and then takes its place in one
step; what was there before is only replaced if that is asked for and only by something that was read.
"""

import hashlib
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from http.client import HTTPException
from pathlib import Path

from everbloom.data.downloads import AMAZON, DOWNLOADS, EMBEDDED, Download, download_of
from everbloom.data.home import raw_folder
from everbloom.errors import DataError
from everbloom.methods import SOURCES, Progress, Source

_BLOCK = 1 << 18
_TIMEOUT = 30.0
"""Seconds without an answer."""


@dataclass(frozen=True)
class Fetched:
    """What `fetch` left: the folder, and the names of its files."""

    folder: Path
    files: list[str]
    licence: str


def fetch(name: str, source_folder: Path | None, progress: Progress | None = None, *, force: bool = False) -> Fetched:
    """Fills the raw folder of a data set; `progress` gets (bytes, total bytes or 0) of each download.

    `source_folder` is a folder, a zip or a single file to copy from; None downloads. Raises `DataError` if the data set
    is there already (unless `force`), cannot be had, or is not what it should be.
    """
    download = download_of(name)
    folder = raw_folder(name)
    if folder.is_dir() and not force:
        raise DataError(f"{name}: already in {folder}; use it as it is, or replace it with --force")
    with _draft(folder) as draft:
        if source_folder is None:
            _download(name, download, draft, progress)
        else:
            _copy(name, download, source_folder.expanduser(), draft)
        _read_once(name, draft)
        _take_place(draft, folder)
    return Fetched(folder, sorted(path.name for path in folder.iterdir()), download.licence)


def source_of(name: str) -> Source:
    """The source of a fetched (or embedded) data set, with default settings. Raises `DataError` if there is none."""
    if name in EMBEDDED or (name in DOWNLOADS and name in SOURCES.names()):
        table = {"name": name}
    elif download_of(name) and name.startswith(f"{AMAZON}/"):
        table = {"name": AMAZON, "category": name.removeprefix(f"{AMAZON}/")}
    else:
        table = {"name": "sequences", "dataset": name}
    source: Source = SOURCES.parse(table)
    return source


def _read_once(name: str, folder: Path) -> None:
    """Reads the head of the events and the items, so that a wrong file is found now and not in a run."""
    source = source_of(name)
    files = source.locate(folder)
    if next(source.events(files), None) is None:
        raise DataError(f"{name}: {files[0].name} holds no events")
    source.items(files)


def _download(name: str, download: Download, folder: Path, progress: Progress | None) -> None:
    if not download.urls:
        raise DataError(
            f"{name}: has no direct download; get {' and '.join(download.files)} from {download.page} and run "
            f"`everbloom data fetch {name} --from PATH`"
        )
    for url in download.urls:
        target = folder / url.rsplit("/", 1)[1]
        try:
            size, md5 = _save(url, target, progress)
        except (OSError, HTTPException) as error:  # no network, no such host, refused, timed out, an HTTP error
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            cause = getattr(error, "reason", error)
            reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            raise DataError(
                f"{name}: cannot download {url} ({reason}); with files you have, use "
                f"`everbloom data fetch {name} --from PATH`"
            ) from None
        if size < download.minimum_bytes:
            raise DataError(f"{name}: {url} gave {size} bytes, expected at least {download.minimum_bytes}; try again")
        if download.md5 is not None and md5 != download.md5:
            raise DataError(f"{name}: {url} has md5 {md5}, its publisher states {download.md5}; try again")
        if target.suffix == ".zip":
            _unpack(name, download, target, folder)
            target.unlink()


def _save(url: str, target: Path, progress: Progress | None) -> tuple[int, str]:
    """(bytes, md5) of what was saved."""
    digest, done = hashlib.md5(usedforsecurity=False), 0
    request = urllib.request.Request(url, headers={"User-Agent": "everbloom"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, target.open("wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(_BLOCK):
            file.write(block)
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
    if total and done != total:
        raise OSError(f"{done} of {total} bytes arrived")
    return done, digest.hexdigest()


def _copy(name: str, download: Download, origin: Path, folder: Path) -> None:
    if not origin.exists():
        raise DataError(f"{origin}: no such file or folder (--from)")
    if origin.suffix == ".zip":
        _unpack(name, download, origin, folder)
        return
    files = sorted(origin.iterdir()) if origin.is_dir() else [origin]
    chosen = [path for path in files if path.is_file() and _belongs(path.name, download)]
    if not chosen:
        raise DataError(f"{origin}: nothing of {name} here; expected {', '.join(download.files)} (gzip is fine)")
    for path in chosen:
        try:
            shutil.copyfile(path, folder / path.name)
        except OSError as error:
            raise DataError(f"{path}: cannot be copied to {folder.parent}: {error.strerror or error}") from None


def _unpack(name: str, download: Download, archive: Path, folder: Path) -> None:
    """Takes the files of the data set out of a zip, whatever folder of it they are in."""
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            chosen = [entry for entry in entries if _belongs(Path(entry.filename).name, download)]
            for entry in chosen:
                with packed.open(entry) as inside, (folder / Path(entry.filename).name).open("wb") as outside:
                    shutil.copyfileobj(inside, outside)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive}: not a readable zip file: {error}") from None
    if not chosen:
        raise DataError(f"{archive}: nothing of {name} in this zip; expected {', '.join(download.files)}")


def _belongs(filename: str, download: Download) -> bool:
    return any(fnmatch(filename.removesuffix(".gz"), pattern) for pattern in download.files)


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, gone after the block unless it was moved."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DataError(f"{folder.parent}: cannot be written: {error.strerror or error}; set EVERBLOOM_HOME") from None
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _take_place(draft: Path, folder: Path) -> None:
    if not folder.is_dir():
        draft.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(old / "data")
    draft.rename(folder)
    shutil.rmtree(old)
