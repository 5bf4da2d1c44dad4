"""One step's lists: what the model scores, what the exploration makes of it, and what would have been best."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.evaluation.evaluator import Scorer
from everbloom.evaluation.histories import history_items
from everbloom.evaluation.ranking import chunk_size
from everbloom.feedback.lists import NOT_SHOWN, Lists, best
from everbloom.methods import Exploration
from everbloom.seeding import PublicDraws
from simulation.feedback.tastes import Tastes


@dataclass(frozen=True, eq=False)
class Shown:
    """What a step showed to `users` [u]. `attraction` [u, n] is that of `lists`, 0 where a list is shorter.

    `model` [u, n] are the model's own lists, without exploration, and `model_attraction` [u, n] theirs; `best_attraction` [u, n] is that of the best
    lists there are. `relevance` [items]: attraction summed over those of the users to whom an item could be shown.
    """

    users: NDArray[np.int64]
    lists: Lists
    attraction: NDArray[np.float64]
    model: NDArray[np.int32]
    model_attraction: NDArray[np.float64]
    best_attraction: NDArray[np.float64]
    relevance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Showing:
    """How lists are made and for whom. `available` [items]; `repeats`: whether known items may be shown."""

    tastes: Tastes
    available: NDArray[np.bool_]
    exploration: Exploration
    top_n: int
    repeats: bool

    def show(
        self, scorer: Scorer, log: EventLog, counts: NDArray[np.int64], places: NDArray[np.int64], draws: PublicDraws
    ) -> Shown:
        """The lists of the users at `places` in `tastes.users`, after their histories in `log`. `counts` [items]: interactions so far.

        `draws` are of these users. Raises `FloatingPointError` if a score is NaN.
        """
        users = self.tastes.users[places]
        pieces = [
            self._piece(scorer, log, counts, places[part], draws.of(part))
            for part in _parts(len(users), chunk_size(len(self.available)))
        ]
        joined = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in _BY_USER}
        propensity = np.concatenate([piece.lists.propensity for piece in pieces])
        items = np.concatenate([piece.lists.items for piece in pieces])
        relevance = np.sum([piece.relevance for piece in pieces], axis=0)
        return Shown(lists=Lists(items, propensity), relevance=relevance, **joined)

    def _piece(
        self, scorer: Scorer, log: EventLog, counts: NDArray[np.int64], places: NDArray[np.int64], draws: PublicDraws
    ) -> Shown:
        users = self.tastes.users[places]
        cases = _cases(log, users, self.available)
        scores = scorer.score(cases, np.arange(len(users))).cpu().numpy().astype(np.float32)
        if np.isnan(scores).any():
            raise FloatingPointError("score: NaN among the scores, so there are no lists; the model has diverged")
        allowed = self._allowed(cases, log)
        scores[~allowed] = NOT_SHOWN
        attraction = self.tastes.attraction(places)
        lists = self.exploration.lists(scores, self.top_n, counts, draws)
        model = best(scores, self.top_n)
        oracle = best(np.where(allowed, attraction, NOT_SHOWN), self.top_n)
        return Shown(
            users,
            lists,
            _listed(attraction, lists.items),
            model,
            _listed(attraction, model),
            _listed(attraction, oracle),
            np.where(allowed, attraction, 0.0).sum(axis=0),
        )

    def _allowed(self, cases: Cases, log: EventLog) -> NDArray[np.bool_]:
        """[users, items] what each of the cases' users may be shown."""
        allowed = np.tile(self.available, (len(cases), 1))
        if not self.repeats:
            allowed[history_items(cases, log, np.arange(len(cases)))] = False
        return allowed


_BY_USER = ("users", "attraction", "model", "model_attraction", "best_attraction")


def _parts(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


def _cases(log: EventLog, users: NDArray[np.int64], available: NDArray[np.bool_]) -> Cases:
    """Everything that these users have met so far is history; nothing is to be found."""
    nothing = np.empty(0, dtype=np.int32)
    return Cases(
        user=users.astype(np.int32),
        history_start=log.offsets[users],
        history_end=log.offsets[users + 1],
        targets=nothing,
        target_offsets=np.zeros(len(users) + 1, dtype=np.int64),
        available=available,
        period_start=0,
    )


def _listed(attraction: NDArray[np.float64], items: NDArray[np.int32]) -> NDArray[np.float64]:
    """[users, n] attraction [users, items] of the listed items; 0 where there is none."""
    taken = np.take_along_axis(attraction, np.maximum(items, 0).astype(np.int64), axis=1)
    return np.where(items == NO_ITEM, 0.0, taken)
