"""How a log changes from period to period: who is new, what is new, and how far popularity and tastes move."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from everbloom.config import ProtocolConfig
from everbloom.data.catalog import Catalog
from everbloom.data.divergence import dealt_anew, distance, distance_dealt_anew, mean_distance, of_others
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.periods import period_boundaries
from everbloom.errors import DataError
from everbloom.seeding import numpy_generator

_KIND_FIELDS = ("category", "genres")
"""Fields of a catalogue that say what kind of thing an item is, best first."""
_TOP = 100


@dataclass(frozen=True)
class Move:
    """How a period differs from the one before.

    `popularity`: Jensen-Shannon distance between the distributions of events over items; `popularity_dealt_anew`: the
    same after the events of both periods were dealt out anew, what there would be without any drift. `top_kept`: share
    of the most frequent items of the period before that are among the most frequent ones again. `tastes`: None if nobody
    stayed.
    """

    popularity: float
    popularity_dealt_anew: float
    top_kept: float
    tastes: "Tastes | None"


@dataclass(frozen=True)
class Tastes:
    """Mean over the users with items in both periods, `stayed` many, of the `distance` (Jensen-Shannon) between a user's
    own distributions over kinds of items.

    `dealt_anew`: the same after each user's events were dealt out between the two periods anew, what there would be
    if nobody's taste moved. (Over single items it can be more than `distance`: users seldom have an item twice within a
    period, but may in two.) `others`: between a user's distribution before and another user's now, what there would be
    if nothing of anybody's own taste remained; None if only one stayed.
    """

    stayed: int
    distance: float
    dealt_anew: float
    others: float | None


@dataclass(frozen=True)
class Period:
    """One period [`start`, `end`) (Unix seconds); shares are 0 to 1, None if there is nothing to say it of.

    `users` and `items` are those with events; `new_users` is the share of users without an event before. Of the events
    with an item, `new_items` is the share on items first seen in the period, `repeats` the share of those whose user has
    had an event with the item before. `move` is None for the first period, and where either period has no items.
    """

    start: int
    end: int
    events: int
    users: int
    new_users: float | None
    items: int
    new_items: float | None
    repeats: float | None
    move: Move | None


@dataclass(frozen=True)
class Drift:
    """A log's periods in order. `kinds`: the field of the catalogue that tastes are over, or "item". `top`: how many
    items `top_kept` compares.
    """

    periods: tuple[Period, ...]
    kinds: str
    top: int


def describe_drift(log: EventLog, catalog: Catalog, protocol: ProtocolConfig, field: str | None = None) -> Drift:
    """The drift of a log over the periods of a `timeline` protocol.

    `field` is the catalogue's field that tastes are over ("item": the items themselves); None: `category` or `genres`
    if there is one, else the items. Raises `DataError` if the log has no timestamps, cannot be cut into periods, or its
    catalogue has no such field.
    """
    if not log.has_time:
        raise DataError("the events have an order but no timestamps")
    name, kind = _kinds(catalog, field)
    measure = _Measure(log, catalog, kind, _repeated(log, len(catalog)), min(_TOP, max(1, len(catalog) // 10)))
    before: NDArray[np.int64] | None = None
    periods = []
    for start, end in pairwise(period_boundaries(log, protocol).tolist()):
        # Rows in their own order are by user and time again.
        rows = np.sort(log.by_time[log.earlier(start) : log.earlier(end)])
        with_item = rows[log.item[rows] != NO_ITEM]
        move = None if before is None else measure.move(before, with_item, start)
        periods.append(measure.period(rows, with_item, start, end, move))
        before = with_item
    return Drift(tuple(periods), name, measure.top)


@dataclass(frozen=True, eq=False)
class _Measure:
    """`kind` [items]; `repeated` [events] whether the user has had an event with the item before."""

    log: EventLog
    catalog: Catalog
    kind: NDArray[np.int64]
    repeated: NDArray[np.bool_]
    top: int

    def period(
        self, rows: NDArray[np.int64], with_item: NDArray[np.int64], start: int, end: int, move: Move | None
    ) -> Period:
        log = self.log
        user, item = log.user[rows], log.item[with_item]
        first = np.append(True, user[1:] != user[:-1])[: len(user)]
        users = user[first]
        return Period(
            start=start,
            end=end,
            events=len(rows),
            users=len(users),
            new_users=_share(log.time[log.offsets[users]] >= start),
            items=int(np.count_nonzero(np.bincount(item))),
            new_items=_share(self.catalog.first_seen[item] >= start),
            repeats=_share(self.repeated[with_item]),
            move=move,
        )

    def move(self, before: NDArray[np.int64], now: NDArray[np.int64], start: int) -> Move | None:
        """From the rows of one period to those of the next, which begins at `start`; both with items only."""
        if not len(before) or not len(now):
            return None
        draw = numpy_generator(0, "drift-dealt-anew", period=start)
        old, new = (np.bincount(self.log.item[rows], minlength=len(self.catalog)) for rows in (before, now))
        return Move(
            popularity=distance(old, new),
            popularity_dealt_anew=distance_dealt_anew(old, new, draw),
            top_kept=_top_kept(old, new, self.top),
            tastes=self._tastes(before, now, start, draw),
        )

    def _tastes(
        self, before: NDArray[np.int64], now: NDArray[np.int64], start: int, draw: np.random.Generator
    ) -> Tastes | None:
        log = self.log
        active = np.zeros((2, log.users), dtype=np.bool_)
        active[0, log.user[before]] = active[1, log.user[now]] = True
        both: NDArray[np.bool_] = active[0] & active[1]
        stayed = int(both.sum())
        if not stayed:
            return None
        rows = np.sort(np.concatenate([part[both[log.user[part]]] for part in (before, now)]))
        user = (np.cumsum(both) - 1)[log.user[rows]]
        kind, second = self.kind[log.item[rows]], np.asarray(log.time[rows] >= start)
        kinds = int(self.kind.max()) + 1
        return Tastes(
            stayed=stayed,
            distance=mean_distance(user, kind, second, kinds),
            dealt_anew=mean_distance(user, kind, dealt_anew(user, second, draw), kinds),
            others=mean_distance(of_others(user, second, draw), kind, second, kinds) if stayed > 1 else None,
        )


def _kinds(catalog: Catalog, field: str | None) -> tuple[str, NDArray[np.int64]]:
    """(name, [items] which of the kinds each item is)."""
    if field is not None and field != "item" and field not in catalog.fields:
        raise DataError(f"no item field {field!r}; this catalogue has: {', '.join(['item', *catalog.fields])}")
    for name in (field,) if field is not None else _KIND_FIELDS:
        if name in catalog.fields:
            found, kind = np.unique(np.array(list(catalog.fields[name]), dtype=object), return_inverse=True)
            if len(found) > 1 or field is not None:  # one kind for everything tells nothing of tastes
                return name, kind
    return "item", np.arange(len(catalog))


def _repeated(log: EventLog, items: int) -> NDArray[np.bool_]:
    """[events] the user has had an event with the item before; false without an item."""
    rows = np.flatnonzero(log.item != NO_ITEM)
    pair = log.user[rows].astype(np.int64) * items + log.item[rows]
    order = np.argsort(pair, kind="stable")  # rows of a user are by time: the first of a pair's is its earliest
    again = pair[order[1:]] == pair[order[:-1]]
    repeated = np.zeros(len(log), dtype=np.bool_)
    repeated[rows[order[1:][again]]] = True
    return repeated


def _top_kept(old: NDArray[np.int64], new: NDArray[np.int64], top: int) -> float:
    """[items] counts each; of equally frequent items the first ones are taken."""
    first, second = (np.argsort(-counts, kind="stable")[: min(top, np.count_nonzero(counts))] for counts in (old, new))
    return float(np.isin(first, second).mean())


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None
