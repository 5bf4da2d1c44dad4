"""What is measured: who is to be predicted, from which rows, and what is to be found. What it costs depends on the users
it is asked for; whoever wants everybody goes through the log block by block.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.ranges import flat_ranges

Weights = Callable[[slice | NDArray[np.int64]], NDArray[np.float32]]
"""Rows of the log -> their weights as learning targets; 0: no positive."""

BLOCK_ROWS = 1 << 19
"""Events to look at at once: a few tens of megabytes of intermediate results, whatever the size of the log."""


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
    """When what is measured begins, and all cases are asked. Items first seen from here on are new items of this measurement."""
    repeats: bool = False
    """Whether items that a user knows already are recommended, and to be found, like any other."""

    def __len__(self) -> int:
        return len(self.user)

    def take(self, which: NDArray[np.int64]) -> "Cases":
        """The cases at these positions."""
        start, end = self.target_offsets[which], self.target_offsets[which + 1]
        _, place = flat_ranges(start, end)
        return Cases(
            self.user[which],
            self.history_start[which],
            self.history_end[which],
            self.targets[place],
            _offsets(end - start),
            self.available,
            self.period_start,
            self.repeats,
        )

    @staticmethod
    def joined(pieces: "list[Cases]") -> "Cases":
        """The cases of several pieces (at least one) of one measurement, in their order."""
        return Cases(
            np.concatenate([piece.user for piece in pieces]),
            np.concatenate([piece.history_start for piece in pieces]),
            np.concatenate([piece.history_end for piece in pieces]),
            np.concatenate([piece.targets for piece in pieces]),
            _offsets(np.concatenate([np.diff(piece.target_offsets) for piece in pieces])),
            pieces[0].available,
            pieces[0].period_start,
            pieces[0].repeats,
        )


class Measurement(Protocol):
    """One split of one period."""

    def candidates(self) -> NDArray[np.int64]:
        """Users, ascending, among whom are all that have a case: what can be told without their histories."""
        ...

    def cases(self, users: NDArray[np.int64]) -> Cases:
        """The cases of those of `users` (ascending) who have one, by user."""
        ...


@dataclass(frozen=True, eq=False)
class LastPositive:
    """Leave-one-out: each user's `place`-th positive from the end, of users with more than two."""

    log: EventLog
    weights: Weights
    items: int
    place: int
    period_start: int

    def candidates(self) -> NDArray[np.int64]:
        """See `Measurement`; all of these have a case."""
        return np.concatenate([block[self._positives(block)[1] > 2] for block in user_blocks(self.log)])

    def cases(self, users: NDArray[np.int64]) -> Cases:
        """See `Measurement`. Known items can be targets: the protocol of the papers does not look."""
        positives, count = self._positives(users)
        enough = count > 2
        row = positives[np.cumsum(count)[enough] - self.place]
        return Cases(
            user=users[enough].astype(np.int32),
            history_start=self.log.offsets[users[enough]],
            history_end=row,
            targets=self.log.item[row],
            target_offsets=np.arange(len(row) + 1),
            available=np.ones(self.items, dtype=np.bool_),
            period_start=self.period_start,
        )

    def _positives(self, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows of their positives, one user after the other; how many each has)."""
        owner, row = flat_ranges(self.log.offsets[users], self.log.offsets[users + 1])
        positive = self.weights(row) > 0
        return row[positive], np.bincount(owner[positive], minlength=len(users))


@dataclass(frozen=True, eq=False)
class NewInTime:
    """Timeline: the items that a user meets for the first time, as a positive, in [start, end); with `repeats`, all that are a positive there."""

    log: EventLog
    weights: Weights
    start: int
    end: int
    available: NDArray[np.bool_]
    repeats: bool = False

    def candidates(self) -> NDArray[np.int64]:
        """See `Measurement`; only the events of that time are read."""
        found = np.zeros(self.log.users, dtype=np.bool_)
        first, last = self.log.earlier(self.start), self.log.earlier(self.end)
        for begin in range(first, last, BLOCK_ROWS):
            row = np.asarray(self.log.by_time[begin : min(begin + BLOCK_ROWS, last)])
            found[self.log.user[row[self.weights(row) > 0]]] = True
        return np.flatnonzero(found)

    def cases(self, users: NDArray[np.int64]) -> Cases:
        """See `Measurement`."""
        log, items = self.log, len(self.available)
        begin = log.offsets[users]
        known_end, stop = log.rows_before(self.start, users), log.rows_before(self.end, users)
        owner, row = flat_ranges(known_end, stop)
        positive = self.weights(row) > 0
        pair = np.unique(owner[positive] * items + log.item[row[positive]])
        if not self.repeats:
            owner, row = flat_ranges(begin, known_end)
            pair = _without(pair, owner * items + log.item[row], of=log.item[row] != NO_ITEM)
        owner, item = np.divmod(pair, items)
        which, first = np.unique(owner, return_index=True)
        return Cases(
            user=users[which].astype(np.int32),
            history_start=begin[which],
            history_end=known_end[which],
            targets=item.astype(np.int32),
            target_offsets=np.append(first, len(owner)).astype(np.int64),
            available=self.available,
            period_start=self.start,
            repeats=self.repeats,
        )


def all_cases(measurement: Measurement, log: EventLog) -> Cases:
    """Everybody's, by user; none at all if nobody has one."""
    return Cases.joined([measurement.cases(users) for users in user_blocks(log, measurement.candidates())])


def any_case(measurement: Measurement, log: EventLog) -> bool:
    """Whether anybody has one; reads on only until somebody does."""
    return any(len(measurement.cases(users)) for users in user_blocks(log, measurement.candidates()))


def sampled_cases(measurement: Measurement, size: int, rng: np.random.Generator) -> Cases:
    """Those of `size` users, uniform without replacement among all who have a case, by user; fewer if there are not so many.

    No others are made. Each time as many of the remaining candidates are drawn as are missing, which is
    what going through a random order of them until there are enough would take.
    """
    remaining = measurement.candidates()
    pieces = [measurement.cases(remaining[:0])]
    missing = size
    while missing and len(remaining):
        drawn = np.arange(len(remaining))
        if missing < len(remaining):
            drawn = np.sort(rng.choice(len(remaining), missing, replace=False))
        pieces.append(measurement.cases(remaining[drawn]))
        missing -= len(pieces[-1])
        remaining = np.delete(remaining, drawn)
    cases = Cases.joined(pieces)
    return cases.take(np.argsort(cases.user))


def user_blocks(log: EventLog, users: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int64]]:
    """`users` (ascending; None: all) in pieces of about a fixed number of events, one user at least; one empty piece if there are none."""
    if users is None:
        users = np.arange(log.users)
    before = np.cumsum(log.offsets[users + 1] - log.offsets[users])
    cuts = np.searchsorted(before, np.arange(BLOCK_ROWS, before[-1] if len(users) else 0, BLOCK_ROWS))
    yield from np.split(users, np.unique(cuts[cuts > 0]))


def _without(wanted: NDArray[np.int64], known: NDArray[np.int64], of: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`wanted` (ascending, distinct) without those that are `known` where `of` is true; the many known ones are not sorted."""
    if not len(wanted):
        return wanted
    place = np.minimum(np.searchsorted(wanted, known), len(wanted) - 1)
    keep = np.ones(len(wanted), dtype=np.bool_)
    keep[place[of & (wanted[place] == known)]] = False
    return wanted[keep]


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
