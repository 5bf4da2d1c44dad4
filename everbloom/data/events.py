"""The event log: who did what with which item, and when. Columns sorted by user and time, so that a user's history is
one contiguous view.
"""

import json
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.data.ordering import by_user_and_time
from everbloom.data.ranges import flat_ranges
from everbloom.data.searches import Searches, coded
from everbloom.data.strings import StringColumn, open_array
from everbloom.errors import DataError

BEHAVIOURS: tuple[str, ...] = ("view", "click", "like", "save", "purchase", "rate", "search")
"""A behaviour's code in the log is its index here."""

NO_ITEM = -1
"""Item of an event that has none (a search)."""

_COLUMNS = ("user", "item", "time", "behaviour", "value", "offsets", "by_time")


@dataclass(frozen=True, eq=False)
class Histories:
    """The events of several users, one user after the other: columns [events], user u's rows are `offsets[u]:offsets[u + 1]`."""

    item: NDArray[np.int32]
    time: NDArray[np.int64]
    behaviour: NDArray[np.uint8]
    value: NDArray[np.float32]
    offsets: NDArray[np.int64]
    search: NDArray[np.int32] | None = None
    """Codes of searches, as in `Searches`; None: there are none."""

    @classmethod
    def of_one(
        cls,
        item: NDArray[np.int32],
        time: NDArray[np.int64],
        behaviour: NDArray[np.uint8],
        value: NDArray[np.float32],
        search: NDArray[np.int32] | None = None,
    ) -> "Histories":
        """One user's, oldest first; no copies."""
        return cls(item, time, behaviour, value, np.array([0, len(item)]), search)

    def __len__(self) -> int:
        return len(self.item)

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1


@dataclass(frozen=True, eq=False)
class EventLog:
    """Every user's events.

    Rows are sorted by (user, time, tie order); `offsets[u]:offsets[u + 1]` are user u's rows; `by_time` lists all rows
    by global time. Users and items are dense indices; `user_ids` holds the source's ids. `item` may be `NO_ITEM`.
    Without timestamps (`has_time` false) `time` is the event's position in its user's sequence.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    behaviour: NDArray[np.uint8]
    value: NDArray[np.float32]
    offsets: NDArray[np.int64]
    by_time: NDArray[np.int64]
    user_ids: StringColumn
    text: StringColumn | None
    has_time: bool

    @classmethod
    def build(
        cls,
        *,
        user: NDArray[np.int32],
        item: NDArray[np.int32],
        time: NDArray[np.int64] | None,
        behaviour: NDArray[np.uint8],
        value: NDArray[np.float32],
        user_ids: StringColumn,
        text: list[str] | None = None,
        ties: Literal["file", "reverse-file"] = "file",
    ) -> "EventLog":
        """Sorts columns given in file order ([events] each). `time` None: each user's rows are already in order."""
        rows = len(user)
        if time is None:
            order = np.argsort(user, kind="stable")
        elif ties == "file":
            order = by_user_and_time(user, time)
        else:
            order = rows - 1 - by_user_and_time(user[::-1], time[::-1])
        counts = np.bincount(user, minlength=len(user_ids))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        sorted_user = user[order].astype(np.int32)
        sorted_time = time[order] if time is not None else np.arange(rows) - offsets[sorted_user]
        return cls(
            user=sorted_user,
            item=item[order].astype(np.int32),
            time=sorted_time.astype(np.int64),
            behaviour=behaviour[order].astype(np.uint8),
            value=value[order].astype(np.float32),
            offsets=offsets,
            by_time=np.argsort(sorted_time, kind="stable").astype(np.int64),
            user_ids=user_ids,
            text=None if text is None else StringColumn.of([text[row] for row in order]),
            has_time=time is not None,
        )

    @classmethod
    def of_histories(cls, events: Histories) -> "EventLog":
        """The same users' log, without copies. Texts of searches are not there: `searches` has codes alone."""
        log = cls(
            user=np.repeat(np.arange(events.users, dtype=np.int32), np.diff(events.offsets)),
            item=events.item,
            time=events.time,
            behaviour=events.behaviour,
            value=events.value,
            offsets=events.offsets,
            by_time=np.argsort(events.time, kind="stable"),
            user_ids=StringColumn.of([""] * events.users),
            text=None,
            has_time=True,
        )
        if events.search is not None:
            log.__dict__["searches"] = Searches(events.search, ())  # in the place of what would be read from texts
        return log

    def __len__(self) -> int:
        return len(self.item)

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.offsets) - 1

    def rows(self, user: int) -> slice:
        """The rows of one user."""
        return slice(int(self.offsets[user]), int(self.offsets[user + 1]))

    def of(self, user: int) -> Histories:
        """One user's events, as views."""
        rows = self.rows(user)
        search = None if self.text is None else self.searches.code[rows]
        return Histories.of_one(self.item[rows], self.time[rows], self.behaviour[rows], self.value[rows], search)

    def histories(self, users: NDArray[np.int64]) -> Histories:
        """The events of some users, copied; what it costs depends on them and not on the log."""
        _, row = flat_ranges(self.offsets[users], self.offsets[users + 1])
        sizes = self.offsets[users + 1] - self.offsets[users]
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        search = None if self.text is None else self.searches.code[row]
        return Histories(self.item[row], self.time[row], self.behaviour[row], self.value[row], offsets, search)

    @cached_property
    def searches(self) -> Searches:
        """What was searched for; read from the log the first time it is asked."""
        rows = (
            np.flatnonzero(self.behaviour == BEHAVIOURS.index("search")) if self.text is not None else np.zeros(0, int)
        )
        told = [(row, self.text[row]) for row in rows.tolist()] if self.text is not None else []
        named = [(row, text) for row, text in told if text]
        return coded(np.array([row for row, _ in named], dtype=np.int64), [text for _, text in named], len(self))

    def rows_before(self, time: int, users: NDArray[np.int64]) -> NDArray[np.int64]:
        """[users] absolute row at which the events from `time` on begin; a binary search in all of their rows at once."""
        low, high = self.offsets[users], self.offsets[users + 1]
        for _ in range(int((high - low).max(initial=0)).bit_length()):
            middle = (low + high) // 2
            open_ = low < high
            earlier = open_ & (self.time[np.where(open_, middle, 0)] < time)
            low, high = np.where(earlier, middle + 1, low), np.where(earlier, high, middle)
        return low

    def check_time(self, wanted_by: str) -> None:
        """Raises `DataError` if there are no timestamps; `wanted_by` is the key of the experiment file that needs them."""
        if not self.has_time:
            raise DataError(
                f"{wanted_by}: needs timestamps, and this log has only an order; use data with times, or {wanted_by} = false"
            )

    def earlier(self, time: int) -> int:
        """Number of events before `time`: where it falls in `by_time`."""
        return bisect_left(self.by_time, time, key=self.time.__getitem__)

    def time_at(self, place: int) -> int:
        """The time of the event at this place in `by_time`."""
        return int(self.time[self.by_time[place]])

    def save(self, folder: Path) -> None:
        """Writes the log into `folder` as plain arrays, for `open`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _COLUMNS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        self.user_ids.save(folder, "user_ids")
        if self.text is not None:
            self.text.save(folder, "text")
        header = {"format": 1, "behaviours": BEHAVIOURS, "has_time": self.has_time, "has_text": self.text is not None}
        (folder / "events.json").write_text(json.dumps(header))

    @classmethod
    def open(cls, folder: Path) -> "EventLog":
        """Memory-maps a saved log. Raises `DataError` if it is not one or was written by another version."""
        header_path = folder / "events.json"
        if not header_path.is_file():
            raise DataError(f"{folder}: no event log here (events.json is missing)")
        header = json.loads(header_path.read_text())
        if header.get("format") != 1 or tuple(header.get("behaviours", ())) != BEHAVIOURS:
            raise DataError(f"{header_path}: written by another version; delete the folder and prepare the data again")
        return cls(
            **{name: open_array(folder / f"{name}.npy") for name in _COLUMNS},
            user_ids=StringColumn.open(folder, "user_ids"),
            text=StringColumn.open(folder, "text") if header["has_text"] else None,
            has_time=header["has_time"],
        )
