"""What a device may learn from, and what the federation is measured on, period by period. Nothing here lets an event
see its future.

Two protocols. `timeline`: global time is cut into periods; a period's training events end where its validation begins,
and the next period tests the model before it trains on it. `leave-one-out`: per user, the last positive tests and the
second to last validates (for papers' tables).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.config import DataConfig, LabelConfig, ProtocolConfig
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS, NO_ITEM, EventLog, UserEvents
from everbloom.errors import DataError

Split = Literal["validation", "test"]
FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class TrainingWindow:
    """Which of its own events a device learns from in one period; small enough to travel in a message.

    Targets have time in [start, end) and events from `end` on do not exist yet; the last `held_out` positives (and all
    that follows the first of them) are kept for evaluation, for users with more positives than that.
    """

    start: int
    end: int
    held_out: int = 0

    def rows(self, events: UserEvents, weight: NDArray[np.float32]) -> tuple[int, int]:
        """(first, end): targets lie in the user's rows [first, end), history in [0, end). `weight` [events]: 0 is no
        positive.
        """
        first, end = np.searchsorted(events.time, [self.start, self.end]).tolist() if len(events) else (0, 0)
        if self.held_out:
            positives = np.flatnonzero(weight[:end])
            if len(positives) > self.held_out:
                end = int(positives[-self.held_out])
        return first, max(first, end)


@dataclass(frozen=True, eq=False)
class Cases:
    """What is measured: for each case a user, the rows that are known at that time, and the items to be found.

    `user` [cases]; history is the rows `[history_start, history_end)` of the log; the targets of case c are
    `targets[target_offsets[c]:target_offsets[c + 1]]`, distinct; `available` [items] says which items can be
    recommended.
    """

    user: NDArray[np.int32]
    history_start: NDArray[np.int64]
    history_end: NDArray[np.int64]
    targets: NDArray[np.int32]
    target_offsets: NDArray[np.int64]
    available: NDArray[np.bool_]
    period_start: int
    """Items first seen from here on are new items of this measurement."""

    def __len__(self) -> int:
        return len(self.user)

    def take(self, which: NDArray[np.int64]) -> "Cases":
        """The cases at these positions."""
        counts = np.diff(self.target_offsets)[which]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        source = np.repeat(self.target_offsets[which] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Cases(
            self.user[which],
            self.history_start[which],
            self.history_end[which],
            self.targets[source],
            offsets,
            self.available,
            self.period_start,
        )


def positive_weights(events: UserEvents | EventLog, labels: LabelConfig) -> NDArray[np.float32]:
    """[events] weight of each event as a learning target; 0: it is history only."""
    if labels.positives is None:
        by_code = np.ones(len(BEHAVIOURS), dtype=np.float32)
    else:
        by_code = np.array([labels.positives.get(name, 0.0) for name in BEHAVIOURS], dtype=np.float32)  # type: ignore[call-overload]
    weight = by_code[events.behaviour]
    if labels.min_value is not None:
        rated = events.behaviour == BEHAVIOURS.index("rate")
        weight = np.where(rated & (events.value < labels.min_value), np.float32(0), weight)
    return np.where(events.item == NO_ITEM, np.float32(0), weight)


class Timeline:
    """The protocol applied to one event log."""

    def __init__(self, log: EventLog, catalog: Catalog, data: DataConfig, protocol: ProtocolConfig) -> None:
        """Raises `DataError` if the protocol does not fit the log."""
        self.log = log
        self.catalog = catalog
        self.protocol = protocol
        self.weight = positive_weights(log, data)
        if not self.weight.any():
            raise DataError(
                "data.positives: no event in the log is a positive; `everbloom data stats` shows its behaviours and values"
            )
        self.boundaries = period_boundaries(log, protocol) if protocol.name == "timeline" else np.array([0, FOREVER])
        """[periods + 1] times; period p is [boundaries[p], boundaries[p + 1])."""
        self._validation_starts: dict[int, int] = {}  # found once: a large log is read whole for it

    @property
    def periods(self) -> int:
        """Number of periods, warm start included."""
        return len(self.boundaries) - 1

    def window(self, period: int) -> TrainingWindow:
        """What devices learn from in a period."""
        if self.protocol.name == "leave-one-out":
            return TrainingWindow(start=np.iinfo(np.int64).min, end=FOREVER, held_out=2)
        start = np.iinfo(np.int64).min if period == 0 else self._validation_start(period - 1)
        return TrainingWindow(start=start, end=self._validation_start(period))

    def has(self, period: int, split: Split) -> bool:
        """Whether the period has such a measurement: a warm start is not tested, and there may be no validation part."""
        if self.protocol.name == "leave-one-out":
            return True
        return period > 0 if split == "test" else self.protocol.validation > 0

    def cases(self, period: int, split: Split) -> Cases:
        """The cases of one measurement, by user index. Raises `DataError` if there are none."""
        cases = self._leave_one_out(split) if self.protocol.name == "leave-one-out" else self._by_time(period, split)
        if len(cases) == 0:
            raise DataError(
                f"protocol: no {split} cases in period {period}: no user has a positive to find there; cut fewer or longer periods"
            )
        return cases

    def _validation_start(self, period: int) -> int:
        if period not in self._validation_starts:
            self._validation_starts[period] = self._find_validation_start(period)
        return self._validation_starts[period]

    def _find_validation_start(self, period: int) -> int:
        start, end = self.boundaries[period], self.boundaries[period + 1]
        if self.protocol.validation == 0:
            return int(end)
        times = self.log.time[self.log.by_time]
        first, last = np.searchsorted(times, [start, end])
        position = last - max(1, round(self.protocol.validation * (last - first)))
        return int(times[max(position, first)]) if last > first else int(end)

    def _by_time(self, period: int, split: Split) -> Cases:
        end = int(self.boundaries[period + 1])
        start = self._validation_start(period) if split == "validation" else int(self.boundaries[period])
        history_end, stop = self.log.rows_before(start), self.log.rows_before(end)
        return self._collect(history_end, stop, self.catalog.first_seen < end, start)

    def _leave_one_out(self, split: Split) -> Cases:
        positives = np.flatnonzero(self.weight)
        bounds = np.searchsorted(positives, self.log.offsets)
        enough = np.diff(bounds) > 2
        place = bounds[1:] - (1 if split == "test" else 2)
        row = self.log.offsets[:-1].copy()
        row[enough] = positives[place[enough]]
        stop = np.where(enough, row + 1, row)
        return self._collect(row, stop, np.ones(len(self.catalog), dtype=np.bool_), FOREVER, repeats=True)

    def _collect(
        self,
        history_end: NDArray[np.int64],
        stop: NDArray[np.int64],
        available: NDArray[np.bool_],
        period_start: int,
        repeats: bool = False,
    ) -> Cases:
        """Per user: rows before `history_end` are known, positives in [history_end, stop) are to be found, each once;
        `repeats` keeps known ones.
        """
        length = stop - history_end
        row = np.repeat(history_end - np.concatenate(([0], np.cumsum(length)[:-1])), length) + np.arange(length.sum())
        row = row[self.weight[row] > 0]
        pair = self.log.user[row].astype(np.int64) * len(self.catalog) + self.log.item[row]
        pair = np.unique(pair)
        if not repeats:
            known = np.arange(len(self.log)) < history_end[self.log.user]
            known &= self.log.item != NO_ITEM
            seen = self.log.user[known].astype(np.int64) * len(self.catalog) + self.log.item[known]
            pair = pair[~np.isin(pair, seen)]
        user, item = np.divmod(pair, len(self.catalog))
        users, first = np.unique(user, return_index=True)
        return Cases(
            user=users.astype(np.int32),
            history_start=self.log.offsets[users],
            history_end=history_end[users],
            targets=item.astype(np.int32),
            target_offsets=np.append(first, len(user)).astype(np.int64),
            available=available,
            period_start=period_start,
        )


def period_boundaries(log: EventLog, protocol: ProtocolConfig) -> NDArray[np.int64]:
    """[periods + 1] cut times. Events at one instant never fall into two periods. Raises `DataError` if the log cannot
    be cut so.
    """
    times = log.time[log.by_time]
    if protocol.cut == "counts":
        cuts = _count_cuts(times, protocol)
    else:
        if not log.has_time:
            raise DataError(
                f'protocol.cut: {protocol.cut!r} needs timestamps, and this log has only an order; use "counts" or leave-one-out'
            )
        cuts = _calendar_cuts(times, protocol)
    if len(cuts) == 0:
        raise DataError("protocol: the log is too short for more than one period; cut it finer, or use leave-one-out")
    return np.concatenate(([times[0]], cuts, [times[-1] + 1])).astype(np.int64)


def _count_cuts(times: NDArray[np.int64], protocol: ProtocolConfig) -> NDArray[np.int64]:
    if protocol.periods is None or protocol.periods < 2:
        raise DataError('protocol.periods: cut = "counts" needs the number of periods, at least 2')
    warm = (
        protocol.warm_start
        if protocol.warm_start < 1
        else protocol.warm_start / (protocol.warm_start + protocol.periods - 1)
    )
    fractions = np.linspace(warm, 1, protocol.periods)[:-1]
    cuts = np.unique(times[np.floor(fractions * len(times)).astype(np.int64)])
    late: NDArray[np.int64] = cuts[cuts > times[0]]
    return late


def _calendar_cuts(times: NDArray[np.int64], protocol: ProtocolConfig) -> NDArray[np.int64]:
    days = times.astype("datetime64[s]")
    if protocol.cut == "month":
        edges = np.unique(days.astype("datetime64[M]")).astype("datetime64[s]").astype(np.int64)
    else:
        monday = (days.astype("datetime64[D]").astype(np.int64) + 3) // 7 * 7 - 3  # 1970-01-01 was a Thursday
        edges = np.unique(monday) * 86_400
    if protocol.warm_start < 1:
        warm_end = times[int(protocol.warm_start * len(times))]
        starts = edges[edges >= warm_end]
    else:
        starts = edges[int(protocol.warm_start) :]
    cuts: NDArray[np.int64] = starts[: protocol.periods - 1] if protocol.periods else starts
    return cuts
