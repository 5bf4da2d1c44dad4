"""Recommending to one person on one device, with the reasons for each item."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.events import BEHAVIOURS, NO_ITEM, EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.evaluation.ranking import rank
from everbloom.explanations.attribution import leave_one_out
from everbloom.explanations.counterfactuals import asked_now, pieces
from everbloom.explanations.parts import Parts

_WORTH_NAMING = 0.1
"""What raised a score less than this part of what the strongest piece did is no reason."""


@dataclass(frozen=True)
class Reason:
    """A piece of the own history: an item, what was done with it (latest last), how often, and how much that raised the score (a logit)."""

    item: int
    behaviours: tuple[str, ...]
    times: int
    contribution: float


@dataclass(frozen=True)
class Recommended:
    """An item, its score (a logit), the pieces of the history that raised it, the strongest first, and what each part of the item adds."""

    item: int
    score: float
    reasons: tuple[Reason, ...] = ()
    parts: tuple[tuple[str, float], ...] = ()


class Recommending:
    """A model with given parameters, whose item vectors are computed once, for one history after the other."""

    def __init__(self, scorer: ModelScorer, parts: Parts | None = None) -> None:
        """`parts`: of the model's items, where reasons are to name them."""
        self.scorer = scorer
        self.parts = parts or Parts((), ())

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.scorer.catalogue.items)

    def recommend(
        self,
        log: EventLog,
        n: int,
        *,
        now: int,
        available: NDArray[np.bool_] | None = None,
        personal: NDArray[np.float32] | None = None,
    ) -> list[Recommended]:
        """The `n` best items for the only user of a log who is asked at time `now`, best first; fewer if there are not so many.

        As in evaluation, what the user has met is left out, and what is not `available` [items] (None: everything is). `personal` [personal]: what
        the user's device has learnt for itself.
        """
        scorer = self._scorer(log, personal)
        cases = asked_now(log, np.ones(self.items, dtype=np.bool_) if available is None else available, now)
        scores = scorer.score(cases, np.array([0]))
        best = rank(cases, log, self.items, lambda positions: scores, n).items[0]
        return [Recommended(int(item), float(scores[0, item])) for item in best if item != NO_ITEM]

    def explain(
        self,
        log: EventLog,
        items: NDArray[np.int64],
        *,
        now: int,
        personal: NDArray[np.float32] | None = None,
        most: int = 3,
    ) -> list[Recommended]:
        """These items with their reasons: at most so many pieces of the history, each of which raised the score."""
        scorer = self._scorer(log, personal)
        piece = pieces(log, scorer.model.history - 1)
        asked = self.parts.beside(scorer.catalogue, torch.from_numpy(items))
        raised, scores = leave_one_out(scorer, log, piece, asked, now)
        score, parts = self.parts.contributions(scores)
        found = []
        for place, item in enumerate(items.tolist()):
            own = raised[:, place]
            strongest = np.argsort(-own, kind="stable")[:most]
            named = strongest[own[strongest] > _WORTH_NAMING * max(0.0, float(own.max(initial=0.0)))].tolist()
            found.append(
                Recommended(
                    item,
                    float(score[place]),
                    tuple(_reason(log, piece == number, float(own[number])) for number in named),
                    tuple(zip(self.parts.names, parts[:, place].tolist(), strict=True)),
                )
            )
        return found

    def recommend_with_reasons(
        self,
        log: EventLog,
        n: int,
        *,
        now: int,
        available: NDArray[np.bool_] | None = None,
        personal: NDArray[np.float32] | None = None,
        most: int = 3,
    ) -> list[Recommended]:
        """`recommend`, then `explain`."""
        best = self.recommend(log, n, now=now, available=available, personal=personal)
        items = np.array([one.item for one in best], dtype=np.int64)
        return self.explain(log, items, now=now, personal=personal, most=most)

    def _scorer(self, log: EventLog, personal: NDArray[np.float32] | None) -> ModelScorer:
        if log.users != 1:
            raise ValueError(f"log: expected the events of one user, got those of {log.users}")
        return self.scorer.of(log, None if personal is None else personal[None])


def _reason(log: EventLog, mine: NDArray[np.bool_], contribution: float) -> Reason:
    done = [BEHAVIOURS[code] for code in log.behaviour[mine]]
    latest_last = tuple(reversed(dict.fromkeys(reversed(done))))
    return Reason(int(log.item[mine][0]), latest_last, len(done), contribution)
