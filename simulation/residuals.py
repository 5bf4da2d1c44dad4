"""What simulated devices could not send yet, under compression with error feedback: one array that all worker processes share, and a copy of it for
the last checkpoint.

The array has a row of the update's size for every device; the file is sparse, and a copy holds the rows of devices that were ever asked.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import CheckpointError
from everbloom.study import Study
from server.state import FederationState

_SHARED = "residuals.npy"


@dataclass(frozen=True, eq=False)
class ResidualFiles:
    """`values` [population, params], memory-mapped from `residuals.npy` in `folder`; `residuals-PERIOD-ROUND.npz` goes with the checkpoint of that
    round.
    """

    folder: Path
    values: NDArray[np.float32]

    def save(self, period: int, round: int) -> None:
        """See `SavedBeside`."""
        path = _copy(self.folder, period, round)
        temporary = path.with_name(f".{path.name}.tmp")
        devices = np.flatnonzero([row.any() for row in self.values])
        with temporary.open("wb") as stream:
            np.savez(stream, devices=devices, values=self.values[devices])
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)

    def remove_but(self, period: int, round: int) -> None:
        """See `SavedBeside`."""
        kept = _copy(self.folder, period, round)
        for old in self.folder.glob("residuals-*.npz"):
            if old != kept:
                old.unlink()


def open_residuals(folder: Path, study: Study, saved: FederationState | None) -> ResidualFiles | None:
    """As they were at the checkpoint `saved`, or zeros; None if devices remember nothing of the kind.

    Raises `CheckpointError` if the copy that goes with the checkpoint is not there or not whole.
    """
    if not remembers(study):
        return None
    folder.mkdir(exist_ok=True)
    shape = (study.clients, study.layout.size())
    values = np.lib.format.open_memmap(folder / _SHARED, mode="w+", dtype=np.float32, shape=shape)
    if saved is not None:
        path = _copy(folder, saved.period, saved.round)
        try:
            with np.load(path) as copy:
                values[copy["devices"]] = copy["values"]
        except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
            raise CheckpointError(f"{path}: damaged checkpoint ({error!r}); start a new run") from None
    values.flush()
    return ResidualFiles(folder, values)


def shared_residuals(folder: Path, study: Study) -> NDArray[np.float32] | None:
    """The array of `open_residuals` as another process sees it, to be changed in place; None if devices remember nothing of the kind."""
    if not remembers(study):
        return None
    shared: NDArray[np.float32] = np.load(folder / _SHARED, mmap_mode="r+")
    return shared


def no_residuals(study: Study) -> NDArray[np.float32] | None:
    """[population, params] of devices that have sent everything so far; None if they remember nothing of the kind."""
    return np.zeros((study.clients, study.layout.size()), dtype=np.float32) if remembers(study) else None


def remembers(study: Study) -> bool:
    """Whether devices keep what they could not send."""
    compression = study.experiment.federation.compression
    return compression is not None and compression.feedback


def _copy(folder: Path, period: int, round: int) -> Path:
    return folder / f"residuals-{period:04d}-{round:06d}.npz"
