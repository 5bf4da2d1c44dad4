"""Reading a trace: every gap and slip in it is one line that says where."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everbloom.data.reading import require_columns, telling
from everbloom.errors import DataError

SPEED = "seconds_per_example"


@dataclass(frozen=True, eq=False)
class Trace:
    """Intervals [intervals] in seconds to the microsecond, sorted by row and start, those that touch joined.

    A row is a client or a profile; every row has at least one interval.
    """

    row: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    stays_until: NDArray[np.float64]
    """`end`, or beyond the cycle where the row's first interval goes on with its last; infinite for a row that never leaves."""
    seconds_per_example: NDArray[np.float64] | None
    """[rows]"""
    rows: int
    by_profile: bool
    lines: int
    """Lines of the file."""


def read_trace(path: Path, cycle: float) -> Trace:
    """Reads and checks a trace whose intervals lie within `cycle` seconds. Raises `DataError` naming file, line, what was expected and what to do."""
    frame = _read(path)
    key = "profile" if "profile" in frame.columns else "client"
    require_columns(path, [key, "start", "end"], list(frame.columns))
    row = _rows(path, key, frame)
    start = _numbers(frame, path, "start", "seconds into the cycle").round(6)
    end = _numbers(frame, path, "end", "seconds into the cycle").round(6)
    _refuse(
        path,
        end <= start,
        lambda at: (
            f"end {end[at]:g} is not after start {start[at]:g}; "
            f"write an interval across the cycle's end as two, one to {cycle:g} and one from 0"
        ),
    )
    _refuse(
        path,
        (start < 0) | (end > cycle),
        lambda at: (
            f"{start[at]:g} to {end[at]:g} does not lie within 0 and the cycle's {cycle:g} seconds; "
            "correct it, or set population.availability.cycle_seconds"
        ),
    )
    by_row = np.argsort(row, kind="stable")  # keeps the file's order within a row
    _in_order(path, key, row[by_row], start[by_row], end[by_row], by_row)
    _no_holes(path, key, row)
    speed = None
    if SPEED in frame.columns:
        speed = _speeds(path, key, row, _numbers(frame, path, SPEED, "seconds, 0 or more"))
    return _joined(row[by_row], start[by_row], end[by_row], cycle, speed, key == "profile", len(frame) + 1)


def _read(path: Path) -> pd.DataFrame:
    """Every value a string, "" where there is none; the frame's index is the line number less two."""
    if not path.is_file():
        raise DataError(
            f"{path}: no such trace; check population.availability.path (relative to where the command runs)"
        )
    with telling(path):
        frame = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            quoting=3,
            index_col=False,
            encoding="utf-8-sig",
        )
    if frame.empty:
        raise DataError(f"{path}: line 1: no row after the header; expected client (or profile), start, end")
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return frame


def _numbers(frame: pd.DataFrame, path: Path, column: str, expected: str) -> NDArray[np.float64]:
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse(
        path,
        ~np.isfinite(values),
        lambda at: f"{column} {str(frame[column].iloc[at])!r} is not a number; expected {expected}",
    )
    return values


def _rows(path: Path, key: str, frame: pd.DataFrame) -> NDArray[np.int64]:
    values = _numbers(frame, path, key, f"the number of a {key}: 0, 1, 2, ...")
    wrong = (values < 0) | (values != np.floor(values)) | (values > 2**31)
    _refuse(path, wrong, lambda at: f"{key} {values[at]:g}; expected the number of a {key}: 0, 1, 2, ...")
    return values.astype(np.int64)


def _refuse(path: Path, wrong: NDArray[np.bool_], told: Callable[[int], str]) -> None:
    """Raises `DataError` about the first wrong line."""
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"{path}: line {at + 2}: {told(at)}")


def _in_order(
    path: Path,
    key: str,
    row: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    place: NDArray[np.int64],
) -> None:
    """The arguments are sorted by row; `place` is where in the file each stands."""
    wrong = (row[1:] == row[:-1]) & (start[1:] < end[:-1])
    if not wrong.any():
        return
    at = int(np.flatnonzero(wrong)[place[1:][wrong].argmin()])
    what = "out of order with" if end[at + 1] <= start[at] else "overlapping"
    raise DataError(
        f"{path}: line {place[at + 1] + 2}: {key} {row[at]} from {start[at + 1]:g} to {end[at + 1]:g}, {what} "
        f"{start[at]:g} to {end[at]:g} on line {place[at] + 2}; expected each {key}'s intervals by time and apart: sort them, join what overlaps"
    )


def _no_holes(path: Path, key: str, row: NDArray[np.int64]) -> None:
    numbers = np.unique(row)
    gap = numbers != np.arange(len(numbers))
    if gap.any():
        missing = int(gap.argmax())
        after = int((row > missing).argmax())
        raise DataError(
            f"{path}: line {after + 2}: {key} {row[after]}, but {key} {missing} has no row; expected every number from 0 on: "
            "add it, or number them without a gap"
        )


def _speeds(path: Path, key: str, row: NDArray[np.int64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rows]"""
    _refuse(path, given < 0, lambda at: f"{SPEED} {given[at]:g} is negative; expected seconds, 0 or more")
    rows, first = np.unique(row, return_index=True)
    of_row = given[first]
    assert len(rows) == row.max() + 1
    _refuse(
        path,
        given != of_row[row],
        lambda at: (
            f"{SPEED} {given[at]:g} for {key} {row[at]}, but {of_row[row[at]]:g} on line {first[row[at]] + 2}; "
            f"expected the same on all lines of a {key}"
        ),
    )
    return of_row


def _joined(
    row: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    cycle: float,
    speed: NDArray[np.float64] | None,
    by_profile: bool,
    lines: int,
) -> Trace:
    """Joins intervals that touch. The arguments are in order."""
    begins = np.concatenate(([True], (row[1:] != row[:-1]) | (start[1:] != end[:-1])))
    last = np.concatenate((begins[1:], [True]))
    row, start, end = row[begins], start[begins], end[last]
    offsets = np.searchsorted(row, np.arange(row[-1] + 2))
    first, final = offsets[:-1], offsets[1:] - 1
    around = (end[final] == cycle) & (start[first] == 0)
    stays = end.copy()
    stays[final[around]] = cycle + end[first[around]]
    stays[final[around & (first == final)]] = np.inf
    return Trace(row, start, end, stays, speed, int(row[-1]) + 1, by_profile, lines)
