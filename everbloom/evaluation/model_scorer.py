"""Scores of a recommender over the whole catalogue for evaluation cases."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.timeline import Cases
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
        # A search has no item: it is no input of the sequence. Positions of item events, and how many precede each row.
        has_item = log.item != NO_ITEM
        self._rows = np.flatnonzero(has_item)
        self._before = np.concatenate(([0], np.cumsum(has_item)))
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
        stop = self._before[cases.history_end[positions]]
        start = np.maximum(self._before[cases.history_start[positions]], stop - width)
        place = start[:, None] + np.arange(width)
        real = place < stop[:, None]
        row = self._rows[np.where(real, place, 0)] if len(self._rows) else np.zeros_like(place)
        items = np.where(real, self.log.item[row], 0).astype(np.int64)
        behaviour = np.where(real, self.log.behaviour[row], 0).astype(np.int64)
        return torch.from_numpy(items), torch.from_numpy(behaviour), torch.from_numpy(stop - start)
