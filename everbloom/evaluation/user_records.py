"""What a test gave each user, beside the means of metrics.jsonl: who benefits, and whether two models differ for other people too.

`per-user/test-PPPP-MODEL.npz` in a run's directory holds one row a case of the test of period P, users ascending: `user` int32, `history` int32
(events known of the user when asked) and `hr@K`, `ndcg@K` float32. K is 10 where `evaluation.k` has it, otherwise the largest cut-off.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import DataError

FOLDER = "per-user"


@dataclass(frozen=True, eq=False)
class UserRecords:
    """`user`, `history` and each of `values` (by measure, in [0, 1]): [cases], users ascending."""

    user: NDArray[np.int32]
    history: NDArray[np.int32]
    values: Mapping[str, NDArray[np.float32]]

    def write(self, run: Path, period: int, model: str) -> None:
        """Writes beside and renames, so that a reader never sees half of it; a resumed run writes over what it does again."""
        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        name = _file(period, model)
        temporary = folder / f".{name}.tmp"
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, user=self.user, history=self.history, **self.values)  # type: ignore[arg-type]
        temporary.replace(folder / name)


def kept_measures(cutoffs: Sequence[int]) -> tuple[str, str]:
    """The measures that are kept of each user."""
    k = 10 if 10 in cutoffs else max(cutoffs)
    return f"hr@{k}", f"ndcg@{k}"


def recorded_periods(run: Path, model: str) -> list[int]:
    """The periods whose test has records of this model, ascending."""
    pattern = re.compile(rf"test-(\d+)-{re.escape(model)}\.npz")
    found = (pattern.fullmatch(path.name) for path in (run / FOLDER).glob("test-*.npz"))
    return sorted(int(match[1]) for match in found if match is not None)


def read_user_records(run: Path, period: int, model: str) -> UserRecords:
    """Raises `DataError` if they are not there or damaged."""
    path = run / FOLDER / _file(period, model)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files if name not in ("user", "history")}
            return UserRecords(arrays["user"], arrays["history"], values)
    except FileNotFoundError:
        raise DataError(f"{path}: no records of users here; the run is of an older version, run it again") from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged ({error!r}); run the experiment again") from None


def _file(period: int, model: str) -> str:
    return f"test-{period:04d}-{model}.npz"
