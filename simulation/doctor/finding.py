"""One thing that was looked at, and the two ways of looking that all parts share."""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from everbloom.errors import InputError


@dataclass(frozen=True)
class Finding:
    """`text`: what was found; of a fault also what to do."""

    fine: bool
    text: str


def looked(check: Callable[[], str]) -> Finding:
    """What a check says, or the `InputError` that it raises."""
    try:
        return Finding(True, check())
    except InputError as error:
        return Finding(False, " ".join(str(error).splitlines()))


def private(path: Path) -> Finding:
    """Whether a file or folder is its owner's alone."""
    if not path.exists():
        return Finding(False, f"{path}: missing; restore it from a backup")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = 0o700 if path.is_dir() else 0o600
        return Finding(False, f"{path}: others may use it (mode {mode:o}); chmod {wanted:o} it")
    return Finding(True, f"{path}: its owner's alone")
