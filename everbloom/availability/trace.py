"""Devices that come and go, and are as slow, as a file says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.availability.presence import DAY, Presence
from everbloom.availability.trace_file import Trace, read_trace
from everbloom.errors import DataError
from everbloom.methods import Availability
from everbloom.seeding import uniforms


class TraceAvailability(Availability):
    """A CSV file with a header: `client` (a user's number in the data set) or `profile` (dealt to the clients by the seed), `start` and `end` in
    seconds, and, if it is known, `seconds_per_example`. The intervals of one client stand in order and apart; they repeat every `cycle_seconds`.
    """

    name: Literal["trace"]
    path: str
    cycle_seconds: PositiveFloat = DAY
    """A day (86400), a week (604800), ...: all intervals lie within it; one across its end is written as two."""

    def open(self, clients: int, seed: int) -> "TracePresence":
        """See `Availability`. Raises `DataError` naming file, line and what was expected."""
        trace = read_trace(Path(self.path), self.cycle_seconds)
        if not trace.by_profile and trace.rows < clients:
            raise DataError(
                f"{self.path}: line {trace.lines}: the trace ends with client {trace.rows - 1}, the experiment has clients 0 to {clients - 1}; "
                "expected rows for each: add them, use fewer users, or name the column `profile` to deal the rows out among all"
            )
        return TracePresence(trace, seed, self.cycle_seconds)


@dataclass(frozen=True)
class TracePresence(Presence):
    """A trace over a population: each client lives by one row of it."""

    trace: Trace
    seed: int
    cycle: float = DAY

    def row(self, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """[clients] the row of the trace each lives by."""
        if not self.trace.by_profile:
            return clients
        return (uniforms(self.seed, "profile", clients, 1)[:, 0] * self.trace.rows).astype(np.int64)

    def there(self, clients: NDArray[np.int64], at: float) -> NDArray[np.bool_]:
        """See `Presence`."""
        rows = np.zeros(self.trace.rows, dtype=np.bool_)
        _, position = self._place(at)
        rows[self.trace.row[self._open(position)]] = True
        return rows[self.row(clients)]

    def next_time(self, clients: NDArray[np.int64], at: float) -> float:
        """See `Presence`."""
        if self.there(clients, at).any():
            return at
        theirs = np.zeros(self.trace.rows, dtype=np.bool_)
        theirs[self.row(clients)] = True
        began, position = self._place(at)
        starts = self.trace.start[theirs[self.trace.row]]
        return began + float(np.where(starts < position, starts + self.cycle, starts).min(initial=np.inf))

    def until(self, clients: NDArray[np.int64], at: float) -> NDArray[np.float64]:
        """See `Presence`; an interval that ends with the cycle goes on with one that begins with it."""
        began, position = self._place(at)
        now = self._open(position)
        ends = np.full(self.trace.rows, np.inf)
        ends[self.trace.row[now]] = self.trace.stays_until[now]
        return began + ends[self.row(clients)]

    def seconds_per_example(self, clients: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """See `Presence`."""
        return None if self.trace.seconds_per_example is None else self.trace.seconds_per_example[self.row(clients)]

    def _open(self, position: float) -> NDArray[np.bool_]:
        """[intervals] those that hold a position in the cycle."""
        held: NDArray[np.bool_] = (self.trace.start <= position) & (position < self.trace.end)
        return held

    def _place(self, at: float) -> tuple[float, float]:
        """(when the cycle began that holds a time, where in it the time lies), to the microsecond, as a trace is read: what a clock adds up must not
        fall short of a start by a rounding error.
        """
        began = at - at % self.cycle
        position = round(at - began, 6)
        return (began + self.cycle, 0.0) if position >= self.cycle else (began, position)
