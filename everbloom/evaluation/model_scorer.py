"""Scores of a recommender over the whole catalogue for evaluation cases."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.ranges import flat_ranges
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender


class ModelScorer:
    """A recommender with given shared parameters; item vectors are computed once."""

    def __init__(
        self, model: Recommender, layout: ParameterLayout, parameters: NDArray[np.float32], log: EventLog
    ) -> None:
        """`parameters` [params] replace the model's shared ones."""
        self.model = model.eval()
        self.log = log
        layout.bind(model).copy_(torch.from_numpy(parameters))
        with torch.inference_mode():
            self.catalogue = model.catalogue()

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[b, items] scores after each case's visible history."""
        items, behaviour, length = self._histories(cases, positions)
        with torch.inference_mode():
            return self.model.rank_catalogue(items, behaviour, length, self.catalogue)

    def _histories(self, cases: Cases, positions: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The last history - 1 item events [b, history - 1], padded at the end; the start token takes the remaining position."""
        width = self.model.history - 1
        owner, row = flat_ranges(cases.history_start[positions], cases.history_end[positions])
        real = self.log.item[row] != NO_ITEM  # a search has no item: it is no input of the sequence
        owner, row = owner[real], row[real]
        known = np.bincount(owner, minlength=len(positions))
        length = np.minimum(known, width)
        place = np.arange(len(row)) - (np.cumsum(known) - length)[owner]  # from the first event that is read
        read = place >= 0
        items, behaviour = np.zeros((2, len(positions), width), dtype=np.int64)
        items[owner[read], place[read]] = self.log.item[row[read]]
        behaviour[owner[read], place[read]] = self.log.behaviour[row[read]]
        return torch.from_numpy(items), torch.from_numpy(behaviour), torch.from_numpy(length)
