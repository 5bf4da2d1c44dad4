"""The most popular items for everybody."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.timeline import Timeline
from everbloom.evaluation.past import Past
from everbloom.evaluation.training_events import item_counts
from everbloom.methods import Baseline


@dataclass(frozen=True, eq=False)
class Popularity:
    """Scores an item by its training positives: `counts` [items]."""

    counts: NDArray[np.int64]

    @classmethod
    def fit(cls, timeline: Timeline, period: int) -> "Popularity":
        """Counts what may be learnt in periods 0..period; `trained_period` gives the one for a measurement."""
        return cls(item_counts(timeline, period))

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32, every row alike."""
        # float32 is exact up to 2**24 interactions of one item; beyond that neighbours may tie.
        return torch.as_tensor(self.counts, dtype=torch.float32).expand(len(positions), -1)


class PopularityBaseline(Baseline):
    """Centralised reference, reads everybody's events: the number of training positives of each item, the same list for everybody."""

    name: Literal["popularity"] = "popularity"
    reads: ClassVar[str] = "everybody"

    def fit(self, past: Past) -> Popularity:
        """See `Baseline`."""
        return Popularity.fit(past.timeline, past.period)
