"""What simulated devices have learnt for themselves: one array that all worker processes share, and a copy of it for the last checkpoint."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import CheckpointError
from everbloom.study import Study
from server.state import FederationState

_SHARED = "personal.npy"


@dataclass(frozen=True, eq=False)
class PersonalFiles:
    """`values` [population, personal], memory-mapped from `personal.npy` in `folder`; `personal-PERIOD-ROUND.npy` goes with the checkpoint of that
    round.
    """

    folder: Path
    values: NDArray[np.float32]

    def save(self, period: int, round: int) -> None:
        """See `KnownPersonal`."""
        path = _copy(self.folder, period, round)
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as stream:
            np.save(stream, self.values)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)

    def remove_but(self, period: int, round: int) -> None:
        """See `KnownPersonal`."""
        kept = _copy(self.folder, period, round)
        for old in self.folder.glob("personal-*.npy"):
            if old != kept:
                old.unlink()


def open_personal(folder: Path, study: Study, saved: FederationState | None) -> PersonalFiles | None:
    """The devices' personal parameters as they were at the checkpoint `saved`, or zeros; None if the model has none.

    Raises `CheckpointError` if the copy that goes with the checkpoint is not there or not whole.
    """
    size = study.layout.size("personal")
    if size == 0:
        return None
    folder.mkdir(exist_ok=True)
    values = np.zeros((study.clients, size), dtype=np.float32)
    if saved is not None:
        values = saved_personal(folder, study, saved)
    np.save(folder / _SHARED, values)
    return PersonalFiles(folder, np.load(folder / _SHARED, mmap_mode="r+"))


def saved_personal(folder: Path, study: Study, saved: FederationState) -> NDArray[np.float32]:
    """[population, personal] as it was at the checkpoint `saved`. Raises `CheckpointError` as `open_personal` does."""
    path, size = _copy(folder, saved.period, saved.round), study.layout.size("personal")
    try:
        values: NDArray[np.float32] = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error!r}); start a new run") from None
    if values.shape != (study.clients, size):
        raise CheckpointError(f"{path}: holds {values.shape}, expected {(study.clients, size)}; start a new run")
    return values


def shared_personal(folder: Path, study: Study) -> NDArray[np.float32] | None:
    """The array of `open_personal` as another process sees it, to be changed in place; None if the model has no personal parameters."""
    if study.layout.size("personal") == 0:
        return None
    shared: NDArray[np.float32] = np.load(folder / _SHARED, mmap_mode="r+")
    return shared


def _copy(folder: Path, period: int, round: int) -> Path:
    return folder / f"personal-{period:04d}-{round:06d}.npy"
