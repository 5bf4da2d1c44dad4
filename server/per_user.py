"""What a federation that learns on gave each user, beside the means of metrics.jsonl: intervals that are to hold for other people need it.

`per-user/before-PPPP.npz`: everybody in the test of period P, just before P is learnt. `per-user/after-PPPP.npz`: those on whom memory is measured,
in the tests of all periods so far, after P was learnt. Each is written whole and under its own name, so a resumed run writes over what it does again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import DataError
from server.run_directory import RunDirectory

FOLDER = "per-user"


@dataclass(frozen=True, eq=False)
class UserValues:
    """One row a case, [cases]: the period that was tested, the user, whether memory is measured on this user, and the measures `ndcg@k` in [0, 1]."""

    period: NDArray[np.int32]
    user: NDArray[np.int32]
    memory: NDArray[np.bool_]
    values: dict[str, NDArray[np.float32]]


@dataclass
class PerUser:
    """Collects what is measured after one point of a run, and writes it. `panel` [users]: on whom memory is measured; None: on everybody."""

    panel: NDArray[np.bool_] | None
    rows: list[UserValues] = field(default_factory=list)

    def add(self, period: int, users: NDArray[np.int32], measures: dict[str, NDArray[np.float64]]) -> None:
        """The cases of one measurement, [cases] each."""
        memory = np.ones(len(users), dtype=np.bool_) if self.panel is None else self.panel[users]
        kept = {name: values.astype(np.float32) for name, values in measures.items() if name.startswith("ndcg@")}
        self.rows.append(UserValues(np.full(len(users), period, dtype=np.int32), users.astype(np.int32), memory, kept))

    def write(self, run: RunDirectory, name: str) -> None:
        """`per-user/NAME.npz`, beside and renamed, so that a reader never sees half of it."""
        folder = run.path / FOLDER
        folder.mkdir(exist_ok=True)
        joined = _joined(self.rows)
        temporary = folder / f".{name}.tmp"
        with temporary.open("wb") as stream:
            arrays: dict[str, Any] = {"period": joined.period, "user": joined.user, "memory": joined.memory}
            np.savez_compressed(stream, **arrays | joined.values)
        temporary.replace(folder / f"{name}.npz")


def before_period(period: int) -> str:
    """The name of what was measured just before a period was learnt."""
    return f"before-{period:04d}"


def after_period(period: int) -> str:
    """The name of what was measured after a period was learnt."""
    return f"after-{period:04d}"


def read_per_user(run: RunDirectory, name: str) -> UserValues | None:
    """What was written under a name; None where there is nothing. Raises `DataError` if it cannot be read."""
    path: Path = run.path / FOLDER / f"{name}.npz"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            values = {key: arrays[key] for key in arrays.files if key.startswith("ndcg@")}
            return UserValues(arrays["period"], arrays["user"], arrays["memory"], values)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: damaged ({error!r}); remove this run's directory, and run it again") from None


def _joined(rows: Sequence[UserValues]) -> UserValues:
    return UserValues(
        np.concatenate([row.period for row in rows]),
        np.concatenate([row.user for row in rows]),
        np.concatenate([row.memory for row in rows]),
        {name: np.concatenate([row.values[name] for row in rows]) for name in rows[0].values},
    )
