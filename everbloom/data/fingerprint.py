"""Content addresses: the same files, source settings and cleaning give the same fingerprint, whatever else differs."""

import hashlib
import json
from pathlib import Path

from everbloom.config import DataConfig
from everbloom.data.home import home
from everbloom.errors import DataError

_REMEMBER_FROM = 1 << 24
"""Bytes from which a file's hash is remembered by (size, modification time) instead of being computed each time."""


def data_fingerprint(data: DataConfig, files: list[Path], version: int) -> str:
    """16 hex digits of what determines a prepared data set. `version` is that of the preparation itself."""
    key = {
        "version": version,
        "source": data.source.model_dump(mode="json"),
        "cleaning": data.cleaning.model_dump(mode="json"),
        "tie_order": data.tie_order,
        "files": [file_hash(path) for path in files],
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content. Raises `DataError` if it cannot be read."""
    try:
        status = path.stat()
        if status.st_size < _REMEMBER_FROM:
            return _digest(path)
        memory = home() / "hashes" / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}.json"
        stamp = [status.st_size, status.st_mtime_ns]
        known = _recall(memory)
        if known is not None and known[:2] == stamp:
            return str(known[2])
        digest = _digest(path)
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps([*stamp, digest]))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recall(memory: Path) -> list[object] | None:
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, list) and len(known) == 3 else None
