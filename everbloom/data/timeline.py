"""What a device may learn from, and what the federation is measured on, period by period. Nothing here lets an event
see its future.

Two protocols. `timeline`: global time is cut into periods; a period's training events end where its validation begins,
and the next period tests the model before it trains on it. `leave-one-out`: per user, the last positive tests and the
second to last validates (for papers' tables).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.config import LabelConfig, ProtocolConfig
from everbloom.data.cases import (
    BLOCK_ROWS,
    Cases,
    Measurement,
    all_cases,
    any_case,
    sampled_cases,
)
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS, NO_ITEM, EventLog, Histories
from everbloom.data.held_out import HeldOut
from everbloom.data.periods import period_boundaries
from everbloom.data.ranges import counts_within
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

    def rows(
        self, events: Histories, weight: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(begin, first, end) [users]: targets lie in a user's rows [first, end), history in [begin, end).

        `weight` [events]: 0 is no positive.
        """
        begin = events.offsets[:-1]
        first = begin + counts_within(events.time < self.start, events.offsets)
        end = begin + counts_within(events.time < self.end, events.offsets)
        if self.held_out:
            positives = np.flatnonzero((weight > 0) & (events.time < self.end))
            last = np.searchsorted(positives, events.offsets[1:])
            many = last - np.searchsorted(positives, begin) > self.held_out
            end[many] = positives[last[many] - self.held_out]
        return begin, first, np.maximum(first, end)


def positive_weights(events: Histories | EventLog, labels: LabelConfig) -> NDArray[np.float32]:
    """[events] weight of each event as a learning target; 0: it is history only."""
    return _weights(events.item, events.behaviour, events.value, labels)


def _weights(
    item: NDArray[np.int32], behaviour: NDArray[np.uint8], value: NDArray[np.float32], labels: LabelConfig
) -> NDArray[np.float32]:
    if labels.positives is None:
        by_code = np.ones(len(BEHAVIOURS), dtype=np.float32)
    else:
        by_code = np.array([labels.positives.get(name, 0.0) for name in BEHAVIOURS], dtype=np.float32)  # type: ignore[call-overload]
    weight = by_code[behaviour]
    if labels.min_value is not None:
        weight[(behaviour == BEHAVIOURS.index("rate")) & (value < labels.min_value)] = 0
    weight[item == NO_ITEM] = 0
    return weight


class Timeline:
    """The protocol applied to one event log."""

    def __init__(
        self,
        log: EventLog,
        catalog: Catalog,
        labels: LabelConfig,
        protocol: ProtocolConfig,
        boundaries: NDArray[np.int64] | None = None,
    ) -> None:
        """`boundaries` [periods + 1]: cut times instead of the protocol's own. Raises `DataError` if the protocol does not fit the log."""
        self.log = log
        self.catalog = catalog
        self.labels = labels
        self.protocol = protocol
        blocks = (slice(start, start + BLOCK_ROWS) for start in range(0, len(log), BLOCK_ROWS))
        if len(log) and not any(self.weights(rows).any() for rows in blocks):
            raise DataError(
                "data.positives: no event in the log is a positive; `everbloom data stats` shows its behaviours and values"
            )
        if boundaries is None:
            boundaries = period_boundaries(log, protocol) if protocol.name == "timeline" else np.array([0, FOREVER])
        self.boundaries = boundaries
        """[periods + 1] times; period p is [boundaries[p], boundaries[p + 1])."""

    def weights(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """[rows] weights of some rows of the log, as `positive_weights` gives them."""
        log = self.log
        return _weights(log.item[rows], log.behaviour[rows], log.value[rows], self.labels)

    @cached_property
    def weight(self) -> NDArray[np.float32]:
        """[events] the weights of the whole log, for who really reads it whole."""
        return self.weights(slice(None))

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
        """Whether the period has such a measurement: a warm start is not tested, there may be no validation part, or no events at all."""
        if not len(self.log):
            return False
        if self.protocol.name == "leave-one-out":
            return True
        return period > 0 if split == "test" else self.protocol.validation > 0

    def check(self, period: int, split: Split) -> None:
        """Raises `DataError` if a measurement has no cases; stops reading at the first."""
        if not any_case(self._measurement(period, split), self.log):
            raise _no_cases(period, split)

    def cases(self, period: int, split: Split) -> Cases:
        """All cases of one measurement, by user index. Raises `DataError` if there are none."""
        return _some(all_cases(self._measurement(period, split), self.log), period, split)

    def sample(self, period: int, split: Split, size: int, rng: np.random.Generator) -> Cases:
        """The cases of `size` users drawn uniformly (all if there are fewer), by user index; no others are made. Raises
        `DataError` if there are none.
        """
        return _some(sampled_cases(self._measurement(period, split), size, rng), period, split)

    def held_out(self, period: int, split: Split) -> HeldOut:
        """What a measurement finds its cases in."""
        if self.protocol.name == "leave-one-out":
            return HeldOut(np.iinfo(np.int64).min, FOREVER, 1 if split == "test" else 2)
        start = self._validation_start(period) if split == "validation" else int(self.boundaries[period])
        return HeldOut(start, int(self.boundaries[period + 1]), repeats=self.protocol.repeats)

    def _measurement(self, period: int, split: Split) -> Measurement:
        return self.held_out(period, split).measurement(self.log, self.weights, self.catalog.first_seen)

    def _validation_start(self, period: int) -> int:
        start, end = int(self.boundaries[period]), int(self.boundaries[period + 1])
        if self.protocol.validation == 0:
            return end
        first, last = self.log.earlier(start), self.log.earlier(end)
        place = last - max(1, round(self.protocol.validation * (last - first)))
        return self.log.time_at(max(place, first)) if last > first else end


def _some(cases: Cases, period: int, split: Split) -> Cases:
    if len(cases) == 0:
        raise _no_cases(period, split)
    return cases


def _no_cases(period: int, split: Split) -> DataError:
    return DataError(
        f"protocol: no {split} cases in period {period}: no user has a positive to find there; cut fewer or longer periods"
    )
