"""What each client knows of itself: its positives before the cut, and the items that it never draws as a negative."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.ranges import flat_ranges
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.evaluation.training_events import training_rows
from everbloom.methods import FederatedBaseline


@dataclass(frozen=True, eq=False)
class Positives:
    """One client after the other; user u's positives are `item[offsets[u]:offsets[u + 1]]`, oldest first, and what it never draws is
    `spared[spared_offsets[u]:spared_offsets[u + 1]]`, ascending and distinct.
    """

    item: NDArray[np.int64]
    offsets: NDArray[np.int64]
    spared: NDArray[np.int64]
    spared_offsets: NDArray[np.int64]
    items: int

    @classmethod
    def of(cls, timeline: Timeline, method: FederatedBaseline) -> "Positives":
        """Of every user. Raises `DataError` if somebody knows so many items that there are not enough to draw negatives from."""
        log, items = timeline.log, len(timeline.catalog)
        rows = training_rows(timeline, 0)
        user, item = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
        if method.held_out_negatives:
            pair = np.unique(user * items + item)
        else:
            everything = log.item >= 0
            pair = np.unique(log.user[everything].astype(np.int64) * items + log.item[everything])
        known = np.bincount(pair // items, minlength=log.users)
        if items - known.max() < method.negatives:
            raise DataError(
                f"baseline.negatives: {method.negatives} negatives a positive are asked for, and user {log.user_ids[int(known.argmax())]!r} "
                f"leaves {items - known.max()} of {items} items to draw from; lower baseline.negatives or use a larger catalogue"
            )
        return cls(item, _offsets(np.bincount(user, minlength=log.users)), pair % items, _offsets(known), items)

    @property
    def counts(self) -> NDArray[np.int64]:
        """[users] number of positives."""
        return np.diff(self.offsets)

    @property
    def participants(self) -> NDArray[np.int64]:
        """Users with a positive, who take part; most positives first, so that neighbours are alike in length."""
        counts = self.counts
        order = np.argsort(-counts, kind="stable")
        return order[counts[order] > 0]

    def padded(self, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(items [users, longest], 0 where a shorter one has ended; counts [users])."""
        counts = self.counts[users]
        owner, place = flat_ranges(self.offsets[users], self.offsets[users + 1])
        table = np.zeros((len(users), int(counts.max())), dtype=np.int64)
        table[owner, place - self.offsets[users][owner]] = self.item[place]
        return table, counts

    def unspared(self, users: NDArray[np.int64], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """[users, n] the item that stands at each rank (from 0) among those that the user may draw; `ranks` [users, n]."""
        owner, place = flat_ranges(self.spared_offsets[users], self.spared_offsets[users + 1])
        first = _offsets(np.diff(self.spared_offsets)[users])
        # The j-th spared item s_j has s_j - j drawable ones before it: rank r lies behind every spared item with s_j - j <= r.
        before = self.spared[place] - (np.arange(len(place)) - first[owner])
        stride = self.items + 1
        wanted = np.arange(len(users))[:, None] * stride + ranks
        skipped = np.searchsorted(owner * stride + before, wanted.ravel(), side="right").reshape(ranks.shape)
        return ranks + skipped - first[:-1, None]


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
