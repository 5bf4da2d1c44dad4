"""What a history would be without some of its events: the log of somebody who never did them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM, EventLog

NO_PIECE = -1


def pieces(log: EventLog, read: int, searches: bool = False) -> NDArray[np.int64]:
    """[events] which piece of evidence each event of a log of one user belongs to, numbered from 0 by its last event, the latest first.

    All events with one item are one piece: had it been bought once less, it would still have been bought. Pieces are the items of the last `read`
    events; older ones, which a model does not read, are `NO_PIECE`, unless they are with such an item. With `searches` all searches for one text
    since the oldest event that is read are one piece too, numbered after the items.
    """
    found = np.full(len(log.item), NO_PIECE, dtype=np.int64)
    there = np.flatnonzero(log.item != NO_ITEM)
    first = max(0, len(there) - read)
    _number(found, log.item.astype(np.int64), there[first:], every=True)
    if searches and log.text is not None:
        before = there[first - 1] + 1 if first else 0
        code = log.searches.code.astype(np.int64)
        asked = np.flatnonzero(code)
        _number(found, np.where(code > 0, code, NO_ITEM), asked[asked >= before], every=False)
    return found


def _number(found: NDArray[np.int64], key: NDArray[np.int64], rows: NDArray[np.int64], every: bool) -> None:
    """Numbers the keys of `rows`, the latest first, from the first free number on; `every`: also at rows with such a key that are not among these."""
    free = int(found.max(initial=NO_PIECE)) + 1
    distinct, last = np.unique(key[rows][::-1], return_index=True)
    if not len(distinct):
        return
    number = np.empty(len(distinct), dtype=np.int64)
    number[np.argsort(last)] = free + np.arange(len(distinct))
    where = np.flatnonzero(key != NO_ITEM) if every else rows
    place = np.minimum(np.searchsorted(distinct, key[where]), len(distinct) - 1)
    same = distinct[place] == key[where]
    found[where[same]] = number[place[same]]


def without(log: EventLog, left_out: Sequence[NDArray[np.bool_]]) -> EventLog:
    """A log of one user several times over: user k of the result has the events that `left_out[k]` [events] does not mark."""
    kept = ~np.stack(left_out)
    user, row = np.nonzero(kept)
    time = log.time[row]
    return EventLog(
        user=user.astype(np.int32),
        item=log.item[row],
        time=time,
        behaviour=log.behaviour[row],
        value=log.value[row],
        offsets=np.concatenate(([0], np.cumsum(kept.sum(axis=1)))).astype(np.int64),
        by_time=np.argsort(time, kind="stable"),
        user_ids=log.user_ids.take(np.zeros(len(left_out), dtype=np.int64)),
        text=None if log.text is None else log.text.take(row),
        has_time=log.has_time,
    )


def without_each(log: EventLog, piece: NDArray[np.int64]) -> EventLog:
    """User 0 has done everything, user k + 1 everything but piece k of `pieces`."""
    count = int(piece.max(initial=NO_PIECE)) + 1
    return without(log, [np.zeros(len(piece), dtype=np.bool_), *(piece == number for number in range(count))])


def asked_now(log: EventLog, available: NDArray[np.bool_], now: int, repeats: bool = False) -> Cases:
    """Every user of a log, who is asked at time `now` and has nothing to be found; `available` [items] can be recommended, with `repeats` also what
    the user has met."""
    return Cases(
        user=np.arange(log.users, dtype=np.int32),
        history_start=log.offsets[:-1],
        history_end=log.offsets[1:],
        targets=np.zeros(0, dtype=np.int32),
        target_offsets=np.zeros(log.users + 1, dtype=np.int64),
        available=available,
        period_start=now,
        repeats=repeats,
    )
