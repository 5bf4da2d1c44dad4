"""What a test gave each user, beside the means of metrics.jsonl: who benefits, and whether two models differ for other people too.

In a run's directory, `per-user/test-PPPP-MODEL.npz` is everybody in the test of period P, before it is learnt;
`per-user/after-AAAA-test-PPPP.npz` those on whom memory is measured, in the test of period P after period A was learnt. One row a case, users
ascending: `user` int32, `history` int32 (events known of the user when asked) and `hr@K`, `ndcg@K` float32. K is 10 where `evaluation.k` has it,
otherwise the largest cut-off. Each is written whole and under its own name, so a resumed run writes over what it does again.
"""

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

    def write(self, run: Path, name: str) -> None:
        """Writes `name` beside and renames, so that a reader never sees half of it."""
        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{name}.tmp"
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, user=self.user, history=self.history, **self.values)  # type: ignore[arg-type]
        temporary.replace(folder / name)


def kept_measures(cutoffs: Sequence[int]) -> tuple[str, str]:
    """The measures that are kept of each user."""
    k = 10 if 10 in cutoffs else max(cutoffs)
    return f"hr@{k}", f"ndcg@{k}"


def of_test(period: int | str, model: str) -> str:
    """The name of a model's test on a period, before it is learnt."""
    return f"test-{_number(period)}-{model}.npz"


def looked_back(after: int, period: int) -> str:
    """The name of the federation's test on a period, after period `after` was learnt."""
    return f"after-{_number(after)}-test-{_number(period)}.npz"


def recorded_periods(run: Path, model: str) -> list[int]:
    """The periods whose test has records of this model, ascending."""
    names = (path.name.split("-", 2) for path in (run / FOLDER).glob(of_test("*", model)))
    return sorted(int(period) for _, period, _ in names)


def read_user_records(run: Path, name: str) -> UserRecords:
    """Raises `DataError` if they are not there or damaged."""
    path = run / FOLDER / name
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            values = {key: arrays[key] for key in arrays.files if key not in ("user", "history")}
            return UserRecords(arrays["user"], arrays["history"], values)
    except FileNotFoundError:
        raise DataError(f"{path}: no records of users here; the run is of an older version, run it again") from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged ({error!r}); run the experiment again") from None


def _number(period: int | str) -> str:
    return f"{period:04d}" if isinstance(period, int) else period
