"""Parts of a measurement: some of the users, or some of the targets. A mean over everybody hides who is served badly.

Slices of users, by the number of known events (history rows, whatever the behaviour):

- all               every case
- new-users         no event before the measurement
- returning-users   at least one
- short-history     1 to 10
- medium-history    11 to 50
- long-history      over 50

Slices of targets; only the part of a case's targets in the slice is to be found, and cases without any are left out:

- new-items         first seen in the measured time, so never in training
- head-items        the fewest, most popular items that hold 80% of the training interactions (ties: lower index first)
- tail-items        every other item, those without training interactions included
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.evaluation.histories import case_targets
from everbloom.evaluation.ranking import Ranking

SHORT_HISTORY = 10
"""Longest short history, in events."""
MEDIUM_HISTORY = 50
"""Longest medium history, in events: the default length a model reads."""
HEAD_SHARE = 0.8
"""Share of the training interactions that the head items hold."""


@dataclass(frozen=True, eq=False)
class Slice:
    """`cases` are positions in the measured cases; `items` [items] says which targets count (None: all).

    `targets` [len(cases)] is how many targets of each of these cases count, at least 1.
    """

    name: str
    cases: NDArray[np.int64]
    items: NDArray[np.bool_] | None
    targets: NDArray[np.int64]

    def hits(self, ranking: Ranking) -> NDArray[np.bool_]:
        """[len(cases), k_max] the hits that count. Other targets keep their place in the list, as misses."""
        hits = ranking.hits[self.cases]
        if self.items is None:
            return hits
        # NO_ITEM reads the last item here, but is never a hit.
        return hits & self.items[ranking.items[self.cases]]


def all_slice(cases: Cases, name: str = "all") -> Slice:
    """Every case and every target."""
    return _user_slice(name, cases, np.ones(len(cases), dtype=np.bool_))


def slices(cases: Cases, first_seen: NDArray[np.int64], counts: NDArray[np.int64]) -> list[Slice]:
    """The slices of a measurement that are not empty, in the order of this file's head.

    `first_seen` [items]: time of an item's first event; `counts` [items]: its training interactions.
    """
    known = cases.history_end - cases.history_start
    head = head_items(counts)
    found = [
        all_slice(cases),
        _user_slice("new-users", cases, known == 0),
        _user_slice("returning-users", cases, known > 0),
        _user_slice("short-history", cases, (known > 0) & (known <= SHORT_HISTORY)),
        _user_slice("medium-history", cases, (known > SHORT_HISTORY) & (known <= MEDIUM_HISTORY)),
        _user_slice("long-history", cases, known > MEDIUM_HISTORY),
        _item_slice("new-items", cases, np.asarray(first_seen >= cases.period_start)),
        _item_slice("head-items", cases, head),
        _item_slice("tail-items", cases, ~head),
    ]
    return [part for part in found if len(part.cases)]


def head_items(counts: NDArray[np.int64], share: float = HEAD_SHARE) -> NDArray[np.bool_]:
    """[items] the fewest, most popular items that hold `share` of all interactions; none if there are none."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(len(counts), dtype=np.bool_)
    head[order[before < share * counts.sum()]] = True
    return head


def _user_slice(name: str, cases: Cases, chosen: NDArray[np.bool_]) -> Slice:
    positions = np.flatnonzero(chosen)
    return Slice(name, positions, None, np.diff(cases.target_offsets)[positions])


def _item_slice(name: str, cases: Cases, items: NDArray[np.bool_]) -> Slice:
    owner, item = case_targets(cases, np.arange(len(cases)))
    targets = np.bincount(owner[items[item]], minlength=len(cases))
    positions = np.flatnonzero(targets)
    return Slice(name, positions, items, targets[positions])
