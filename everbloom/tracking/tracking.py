"""What a tracker does with a run once it is open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from everbloom.errors import InputError


class Tracking(Protocol):
    """One run in one tracker. It is given numbers that stand in the run's directory already, and nothing else."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name, after so many rounds of the whole run."""
        ...

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The end. `summary`: the run's; None if it stopped before its end."""
        ...


def kept_id(path: Path, new: str) -> str:
    """The id that a run goes on under after an interruption: `new` is written to the file if none is there. Raises `InputError` if it is empty."""
    if not path.exists():
        path.write_text(new + "\n", encoding="utf-8")
        return new
    found = path.read_text(encoding="utf-8").strip()
    if not found:
        raise InputError(f"{path}: empty; remove it, and the run is tracked as a new one")
    return found
