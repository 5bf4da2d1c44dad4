"""Items whose features (of their text) resemble what the user took lately; no other user's data is needed."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.evaluation.histories import history_items
from everbloom.evaluation.past import Past
from everbloom.methods import Baseline


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


class ItemTextKnnBaseline(Baseline):
    """Reference without learning, reads item contents and the user's own events: an item's mean cosine, in the experiment's frozen item features, to
    the user's last `recent` items."""

    name: Literal["item-text-knn"] = "item-text-knn"
    recent: PositiveInt = 10
    reads: ClassVar[str] = "own, texts"

    def unfit(self, past: Past) -> str | None:
        """Without item features there is nothing to compare."""
        if past.features is None:
            return (
                "item-text-knn: compares item features, and this experiment has none; set [model.items] features, "
                "or leave it out with --only"
            )
        return None

    def fit(self, past: Past) -> ItemTextKnn:
        """See `Baseline`."""
        if past.features is None:
            raise DataError(str(self.unfit(past)))
        return ItemTextKnn.fit(past.timeline, past.features, self.recent)
