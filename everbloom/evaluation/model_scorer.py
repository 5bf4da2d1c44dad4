"""Scores of a recommender over the whole catalogue for evaluation cases."""

from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.gaps import gap_codes, gaps_before
from everbloom.data.ranges import flat_ranges
from everbloom.data.searches import searches_before
from everbloom.evaluation.own_models import OwnModels, ServedModels, by_user, in_order
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import CatalogueVectors, Recommender
from everbloom.models.users import Circumstances


class ModelScorer:
    """A recommender with given shared parameters; item vectors are computed once."""

    def __init__(
        self,
        model: Recommender,
        layout: ParameterLayout,
        parameters: NDArray[np.float32],
        log: EventLog,
        personal: NDArray[np.float32] | None = None,
        models: ServedModels | None = None,
    ) -> None:
        """`parameters` [params] replace the model's shared ones. `personal` [users, personal]: what their devices have learnt for themselves, as
        differences from the model's initial ones, where it is known; None measures the shared model. `models`: who is measured by
        another model than the shared one.
        """
        self.model = model.eval()
        self.log = log
        self.personal = personal
        bound = layout.bind(model)
        bound.copy_(torch.from_numpy(parameters))
        self._models = None if models is None else OwnModels(model, bound, models)
        self._own = _OwnLayers(layout.bind(model, "personal")) if model.personal_layers else None
        with torch.inference_mode():
            self.catalogue = model.catalogue()

    @classmethod
    def standing(cls, model: Recommender, log: EventLog) -> "ModelScorer":
        """Of a model with the parameters that it has, layers of its user's own among them: who trains it too has bound them elsewhere."""
        made = cls.__new__(cls)
        made.model, made.log = model.eval(), log
        made.personal = made._own = made._models = None
        with torch.inference_mode():
            made.catalogue = model.catalogue()
        return made

    def of(self, log: EventLog, personal: NDArray[np.float32] | None = None) -> "ModelScorer":
        """The same model and item vectors for the users of another log, with what their devices have learnt."""
        other = copy(self)
        other.log, other.personal, other._models = log, personal, None
        return other

    def with_model(self, model: Recommender) -> "ModelScorer":
        """With the same item vectors, for a model that makes something else of them."""
        other = copy(self)
        other.model = model.eval()
        return other

    def score(
        self, cases: Cases, positions: NDArray[np.int64], catalogue: CatalogueVectors | None = None
    ) -> torch.Tensor:
        """[b, items] scores after each case's visible history; `catalogue`: of these items instead of all."""
        with torch.inference_mode():
            if self._models is not None:
                assert catalogue is None, "each model has item vectors of its own"
                return self._models.score(self.scores, cases, positions, self.catalogue)
            if self._own is None or self.personal is None:
                return self.scores(cases, positions, catalogue)
            # Layers of their own: one user after the other.
            found = [(some, self.scores(cases, positions[some], catalogue)) for some in by_user(cases, positions)]
            self._own.show(0.0)
            return in_order(found) if found else self.scores(cases, positions, catalogue)

    def scores(
        self, cases: Cases, positions: NDArray[np.int64], catalogue: CatalogueVectors | None = None
    ) -> torch.Tensor:
        """`score` for who wants gradients; of one user where devices have layers of their own."""
        items, circumstances, length = self._histories(cases, positions)
        own = None if self.personal is None else torch.from_numpy(self.personal[cases.user[positions]])
        if self._own is not None and own is not None:
            self._own.show(own[0] if len(own) else 0.0)
            own = None
        return self.model.rank_catalogue(items, circumstances, length, catalogue or self.catalogue, own)

    def _histories(
        self, cases: Cases, positions: NDArray[np.int64]
    ) -> tuple[torch.Tensor, Circumstances, torch.Tensor]:
        """The last history - 1 item events [b, history - 1], padded at the end; the start token takes the remaining position."""
        width = self.model.history - 1
        owner, row = flat_ranges(cases.history_start[positions], cases.history_end[positions])
        real = self.log.item[row] != NO_ITEM  # a search has no item: it is no input of the sequence
        visible, kept = row, np.flatnonzero(real)
        owner, row = owner[real], row[real]
        known = np.bincount(owner, minlength=len(positions))
        length = np.minimum(known, width)
        place = np.arange(len(row)) - (np.cumsum(known) - length)[owner]  # from the first event that is read
        read = place >= 0
        items, behaviour = np.zeros((2, len(positions), width), dtype=np.int64)
        items[owner[read], place[read]] = self.log.item[row[read]]
        behaviour[owner[read], place[read]] = self.log.behaviour[row[read]]
        gap = None
        if self.model.user.gap is not None:
            gaps = np.zeros((len(positions), width + 1), dtype=np.int64)
            codes, now = self._gaps(row, known, cases.period_start)
            gaps[owner[read], place[read]] = codes[read]
            gaps[np.arange(len(positions)), length] = now
            gap = torch.from_numpy(gaps)
        search = None
        if self.model.user.search is not None:
            searches = np.zeros((len(positions), width + 1), dtype=np.int64)
            sizes = cases.history_end[positions] - cases.history_start[positions]
            offsets = np.concatenate(([0], np.cumsum(sizes)))
            before, newest = searches_before(self.log.searches.code[visible], kept, offsets)
            searches[owner[read], place[read]] = before[read]
            searches[np.arange(len(positions)), length] = newest
            search = torch.from_numpy(searches)
        beside = Circumstances(torch.from_numpy(behaviour), gap, search)
        return torch.from_numpy(items), beside, torch.from_numpy(length)

    def _gaps(
        self, row: NDArray[np.int64], known: NDArray[np.int64], now: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Codes of the gaps before the events `row`, of which each case has `known` [b] one after the other; and [b] of those from its last one until
        `now`, 0 where there is none."""
        time, offsets = self.log.time[row], np.concatenate(([0], np.cumsum(known)))
        since = np.zeros(len(known), dtype=np.int64)
        since[known > 0] = gap_codes(now - time[offsets[1:][known > 0] - 1])
        return gaps_before(time, offsets), since


class _OwnLayers:
    """A model's personal parameters, bound: shown as anybody has learnt them."""

    def __init__(self, bound: torch.Tensor) -> None:
        self._bound = bound
        self._initial = bound.clone()

    def show(self, learnt: torch.Tensor | float) -> None:
        """`learnt` [personal]: differences from the initial ones; 0 for who has learnt nothing."""
        self._bound.copy_(self._initial + learnt)
