"""Cleaning rules, and the report of what they did. Each rule is counted; nothing is dropped silently."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from everbloom.config import CleaningConfig
from everbloom.data.collecting import Columns
from everbloom.data.ordering import by_user_and_time
from everbloom.errors import DataError


class Standardisation(BaseModel):
    """A numeric item field was replaced by (x - mean) / deviation, over the items where it is known."""

    model_config = ConfigDict(frozen=True)

    mean: float
    deviation: float


class CleaningReport(BaseModel):
    """Counts of everything that was done between the source's rows and the event log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    """Rows in the source's files."""
    left_out: dict[str, int]
    """Rows that are no events, by reason."""
    duplicates: int
    """Repeated (user, item, time, behaviour) rows; 0 without timestamps, where a repetition is an event of its own."""
    overactive_users: int
    overactive_events: int
    """Users with more than max_user_events, and their events."""
    rare_users: int
    rare_items: int
    rare_events: int
    """Users and items under the minimum counts, repeated until stable, and the events lost with them."""
    passes: int
    """How many repetitions that took."""
    item_rows: int
    """Rows of the source's item table; 0 if it has none."""
    duplicate_item_rows: int
    """Rows of the item table with an empty id or one that stood there before; the first one counts."""
    unused_items: int
    """Items of the item table that no surviving event names; the catalogue leaves them out."""
    undescribed_items: int
    """Items of the catalogue that the item table does not describe; their fields are empty."""
    users: int
    items: int
    events: int
    behaviours: dict[str, int]
    """Events by behaviour."""
    numbers: dict[str, Standardisation]

    @classmethod
    def of_catalogue(cls, users: int, items: int) -> "CleaningReport":
        """Where there are no rows to clean."""
        counted = {name: 0 for name, field in cls.model_fields.items() if field.annotation is int}
        return cls.model_validate(
            {**counted, "left_out": {}, "behaviours": {}, "numbers": {}, "users": users, "items": items}
        )

    def lines(self) -> list[tuple[str, str]]:
        """(what, how much) of everything that was done, for people; nothing about what was not."""
        steps = [
            ("rows read", self.rows, ""),
            *((f"left out: {reason}", count, "") for reason, count in self.left_out.items()),
            ("duplicates", self.duplicates, ""),
            ("overactive users", self.overactive_users, f" ({self.overactive_events:,} events)"),
            (
                "events of rare users and items",
                self.rare_events,
                f" ({self.rare_users:,} users, {self.rare_items:,} items)",
            ),
            ("item table rows", self.item_rows, ""),
            ("item rows repeated", self.duplicate_item_rows, ""),
            ("items without events", self.unused_items, " (left out)"),
            ("items undescribed", self.undescribed_items, ""),
        ]
        return [(what, f"{count:,}{more}") for what, count, more in steps if count]

    def save(self, path: Path) -> None:
        """Writes the report as JSON."""
        path.write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def open(cls, path: Path) -> "CleaningReport":
        """Reads what `save` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Removed:
    """What the rules removed."""

    duplicates: int = 0
    overactive_users: int = 0
    overactive_events: int = 0
    rare_users: int = 0
    rare_items: int = 0
    rare_events: int = 0
    passes: int = 0

    def phrases(self, cleaning: CleaningConfig) -> list[str]:
        """What to tell of a data set that these rules emptied."""
        told = [
            (self.duplicates, f"{self.duplicates} duplicates"),
            (
                self.overactive_events,
                f"max_user_events = {cleaning.max_user_events} removed {self.overactive_events} events",
            ),
            (
                self.rare_events,
                f"min_user_events = {cleaning.min_user_events} and min_item_events = {cleaning.min_item_events} "
                f"removed {self.rare_events} events ({self.rare_users} users, {self.rare_items} items)",
            ),
        ]
        return [phrase for count, phrase in told if count]


def clean(columns: Columns, cleaning: CleaningConfig) -> tuple[Columns, Removed]:
    """Applies the rules in this order: duplicates, implausibly active users, minimum counts. Raises `DataError` if
    nothing is left.
    """
    removed = Removed()
    if not len(columns):
        raise DataError("data: the source holds no events")
    if cleaning.drop_duplicates and columns.time is not None:
        keep = ~_repeated(columns, columns.time)
        removed = replace(removed, duplicates=int((~keep).sum()))
        columns = columns.where(keep)
    if cleaning.max_user_events is not None:
        columns, removed = _drop_overactive(columns, cleaning.max_user_events, removed)
    columns, removed = _drop_rare(columns, cleaning, removed)
    if not len(columns):
        raise DataError(f"data.cleaning: no event is left: {'; '.join(removed.phrases(cleaning))}; relax these rules")
    return columns, removed


def _repeated(columns: Columns, time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[events] true where an earlier row has the same user, item (or text, without one), time and behaviour."""
    order = by_user_and_time(columns.user, time)
    user, moment = columns.user[order], time[order]
    close = (user[1:] == user[:-1]) & (moment[1:] == moment[:-1])
    # Few events of a user fall on one instant; only those need to be compared in full.
    near = np.zeros(len(order), dtype=np.bool_)
    near[order[1:][close]] = near[order[:-1][close]] = True
    repeated = np.zeros(len(order), dtype=np.bool_)
    repeated[near] = _repeated_within(columns.where(near), time[near])
    return repeated


def _repeated_within(columns: Columns, time: NDArray[np.int64]) -> NDArray[np.bool_]:
    thing = columns.item.astype(np.int64) + 1
    if columns.text is not None:
        _, text = np.unique(columns.text.astype(str), return_inverse=True)
        thing = np.where(columns.item < 0, thing.max(initial=0) + 1 + text, thing)
    keys = (time, thing, columns.user, columns.behaviour)
    order = np.lexsort(keys)  # stable: the first row of equals stays first
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for key in keys:
        in_order = key[order]
        same &= in_order[1:] == in_order[:-1]
    repeated = np.zeros(len(order), dtype=np.bool_)
    repeated[order[1:]] = same
    return repeated


def _drop_overactive(columns: Columns, limit: int, removed: Removed) -> tuple[Columns, Removed]:
    counts = np.bincount(columns.user)
    overactive = counts > limit
    keep = ~overactive[columns.user]
    return columns.where(keep), replace(
        removed, overactive_users=int(overactive.sum()), overactive_events=int((~keep).sum())
    )


def _drop_rare(columns: Columns, cleaning: CleaningConfig, removed: Removed) -> tuple[Columns, Removed]:
    users = items = passes = 0
    before = len(columns)
    while len(columns):
        user_counts = np.bincount(columns.user)
        item_counts = np.bincount(columns.item[columns.item >= 0])
        rare_user = (user_counts > 0) & (user_counts < cleaning.min_user_events)
        rare_item = (item_counts > 0) & (item_counts < cleaning.min_item_events)
        if not rare_user.any() and not rare_item.any():
            break
        passes += 1
        users += int(rare_user.sum())
        items += int(rare_item.sum())
        rare_item = np.append(rare_item, False)  # what NO_ITEM (-1) picks: an event without item has no rare item
        columns = columns.where(~rare_user[columns.user] & ~rare_item[columns.item])
    return columns, replace(
        removed, rare_users=users, rare_items=items, rare_events=before - len(columns), passes=passes
    )
