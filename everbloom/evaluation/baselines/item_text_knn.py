"""Items whose features (of their text) resemble what the user took lately; no other user's data is needed."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.data.timeline import Timeline
from everbloom.evaluation.histories import history_items


@dataclass(frozen=True, eq=False)
class ItemTextKnn:
    """Scores an item by its mean cosine to the last `recent` items of the history.

    `unit` [items, features]: unit vectors, or 0.
    """

    log: EventLog
    unit: torch.Tensor
    recent: int

    @classmethod
    def fit(cls, timeline: Timeline, features: NDArray[np.float32], recent: int = 10) -> "ItemTextKnn":
        """`features` [items, features]: frozen item features.

        Nothing is learnt from events. Raises `ValueError` on another number of items.
        """
        if len(features) != len(timeline.catalog):
            raise ValueError(f"features: expected a row for each of {len(timeline.catalog)} items, got {len(features)}")
        unit = torch.nn.functional.normalize(torch.from_numpy(np.array(features, dtype=np.float32)), dim=1)
        return cls(timeline.log, unit, recent)

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32 in [-1, 1]; 0 everywhere for an empty history."""
        owner, item = (torch.from_numpy(column) for column in history_items(cases, self.log, positions, self.recent))
        total = torch.zeros(len(positions), self.unit.shape[1]).index_add_(0, owner, self.unit[item])
        length = torch.bincount(owner, minlength=len(positions)).clamp(min=1)
        return (total / length[:, None]) @ self.unit.T
