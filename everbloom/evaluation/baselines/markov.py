"""What users took right after the item that this user took last: first-order transitions."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.data.ranges import flat_ranges
from everbloom.data.timeline import Timeline
from everbloom.evaluation.histories import history_items
from everbloom.evaluation.past import Past
from everbloom.evaluation.training_events import item_counts, training_rows
from everbloom.methods import Baseline


@dataclass(frozen=True, eq=False)
class Markov:
    """Scores an item by how often it followed the history's last item among training positives.

    Popularity, scaled below 1, breaks ties.

    The transitions of item i are `follower[offsets[i]:offsets[i + 1]]` with `count`; `popularity` [items] float32 in
    [0, 1).
    """

    log: EventLog
    offsets: NDArray[np.int64]
    follower: NDArray[np.int64]
    count: NDArray[np.float32]
    popularity: NDArray[np.float32]

    @classmethod
    def fit(cls, timeline: Timeline, period: int) -> "Markov":
        """Counts the neighbouring training positives of each user in periods 0..period."""
        items = len(timeline.catalog)
        rows = training_rows(timeline, period)
        user, item = timeline.log.user[rows], timeline.log.item[rows].astype(np.int64)
        same = user[1:] == user[:-1]
        pair, count = np.unique(item[:-1][same] * items + item[1:][same], return_counts=True)
        offsets = np.searchsorted(pair, np.arange(items + 1) * items)
        counts = item_counts(timeline, period)
        return cls(
            timeline.log,
            offsets,
            pair % items,
            count.astype(np.float32),
            (counts / (counts.max(initial=0) + 1)).astype(np.float32),
        )

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32; popularity alone for a history that is empty or ends without an item."""
        scores = np.tile(self.popularity, (len(positions), 1))
        owner, last = history_items(cases, self.log, positions, recent=1)
        which, place = flat_ranges(self.offsets[last], self.offsets[last + 1])
        # A follower stands once in an item's list and an owner has one last item, so no cell is hit twice.
        scores[owner[which], self.follower[place]] += self.count[place]
        return torch.from_numpy(scores)


class MarkovBaseline(Baseline):
    """Centralised reference, reads everybody's events: how often an item directly followed the user's last one in anybody's training positives
    (a first-order Markov chain, maximum likelihood); popularity breaks ties."""

    name: Literal["markov"] = "markov"
    reads: ClassVar[str] = "everybody"

    def fit(self, past: Past) -> Markov:
        """See `Baseline`."""
        return Markov.fit(past.timeline, past.period)
