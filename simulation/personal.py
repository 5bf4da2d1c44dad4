"""What simulated devices keep from round to round, personal parameters and what their algorithm remembers: one array that all worker processes
share, and a copy of it for the last checkpoint."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import CheckpointError, InputError
from everbloom.study import Study
from server.state import FederationState

_SHARED = "personal.npy"


@dataclass(frozen=True, eq=False)
class PersonalFiles:
    """`values` [population, kept], memory-mapped from `personal.npy` in `folder`; `personal-PERIOD-ROUND.npy` goes with the checkpoint of that
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
    """What devices keep as it was at the checkpoint `saved`, or zeros; None if they keep nothing.

    Raises `CheckpointError` if the copy that goes with the checkpoint is not there or not whole, `InputError` if the disk has no place.
    """
    if study.kept == 0:
        return None
    folder.mkdir(exist_ok=True)
    check_kept(folder, study)
    shape = (study.clients, study.kept)
    before = None if saved is None else saved_kept(folder, study, saved)
    values = np.lib.format.open_memmap(folder / _SHARED, mode="w+", dtype=np.float32, shape=shape)
    if before is not None:
        values[:] = before
        values.flush()
    return PersonalFiles(folder, values)


def check_kept(folder: Path, study: Study) -> None:
    """Raises `InputError` if `folder`'s disk has no place for what devices keep: as it is, at the last checkpoint and at the next one."""
    size, free = 4 * study.clients * study.kept, shutil.disk_usage(folder).free
    if 3 * size > free:
        raise InputError(
            f"{folder}: {study.clients:,} devices keep {study.kept:,} numbers each, {3 * size / 1e9:,.1f} GB with their copies for checkpoints, and "
            f"{free / 1e9:,.1f} GB are free; use fewer users, a smaller model, or an algorithm that keeps less"
        )


def served_kept(folder: Path, study: Study, saved: FederationState) -> NDArray[np.float32] | None:
    """`saved_kept` where people are served by it, else None. Raises as that does."""
    return saved_kept(folder, study, saved) if study.personalised else None


def saved_kept(folder: Path, study: Study, saved: FederationState) -> NDArray[np.float32]:
    """[population, kept] as it was at the checkpoint `saved`, memory-mapped. Raises `CheckpointError` as `open_personal` does."""
    path = _copy(folder, saved.period, saved.round)
    try:
        values: NDArray[np.float32] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error!r}); start a new run") from None
    if values.shape != (study.clients, study.kept):
        raise CheckpointError(f"{path}: holds {values.shape}, expected {(study.clients, study.kept)}; start a new run")
    return values


def shared_personal(folder: Path, study: Study) -> NDArray[np.float32] | None:
    """The array of `open_personal` as another process sees it, to be changed in place; None if devices keep nothing."""
    if study.kept == 0:
        return None
    shared: NDArray[np.float32] = np.load(folder / _SHARED, mmap_mode="r+")
    return shared


def _copy(folder: Path, period: int, round: int) -> Path:
    return folder / f"personal-{period:04d}-{round:06d}.npy"
