"""Whether reasons are true: what happens to a score when the events that are named had not been there, against as many others."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from everbloom.data.events import EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.attribution import gradient_times_input, leave_one_out
from everbloom.explanations.counterfactuals import asked_now, pieces, without
from everbloom.explanations.recommending import Recommending
from everbloom.models.recommender import CatalogueVectors
from everbloom.seeding import numpy_generator

DRAWS = 10
"""Random removals that each named one is compared with."""


@dataclass(frozen=True)
class Faithfulness:
    """Over recommendations [cases], one each of different users: how much the score falls (in logits) without the `named` events, without as many
    `estimated` by gradient x input, and without as many `random` ones of those that were read. How the two ways agree: the `overlap`, which part of
    what is named is also estimated, beside what it would be by `chance`; and Spearman's `correlation` over all events.
    """

    named: NDArray[np.float64]
    estimated: NDArray[np.float64]
    random: NDArray[np.float64]
    overlap: NDArray[np.float64]
    chance: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @property
    def better(self) -> float:
        """Share of the recommendations whose named events matter more than random ones do on average."""
        return float((self.named > self.random).mean())


def faithfulness(
    recommending: Recommending,
    histories: Iterable[tuple[EventLog, NDArray[np.float32] | None]],
    *,
    now: int,
    seed: int,
    most: int = 3,
) -> Faithfulness:
    """Removes the pieces that explain each user's best item, all at once, as a reader who doubts them would.

    Histories are logs of one user each, with what the user's device has learnt for itself. Who has no more pieces than are named, or none that
    raised the score, is left out: there, a random removal is the named one or there is nothing to test. Deletion test as in DeYoung et al., "ERASER",
    ACL 2020 (comprehensiveness).
    """
    found = [
        case
        for number, (log, personal) in enumerate(histories)
        if (case := _case(recommending, log, personal, now, most, numpy_generator(seed, "faithfulness", client=number)))
    ]
    return Faithfulness(*np.array(found, dtype=np.float64).reshape(-1, 6).T)


def _case(
    recommending: Recommending,
    log: EventLog,
    personal: NDArray[np.float32] | None,
    now: int,
    most: int,
    rng: np.random.Generator,
) -> tuple[float, ...] | None:
    """One user's row of `Faithfulness`; None if there is nothing to test."""
    scorer = recommending.scorer.of(log, None if personal is None else personal[None])
    best = recommending.recommend(log, 1, now=now, personal=personal)
    piece = pieces(log, scorer.model.history - 1)
    count = int(piece.max(initial=-1)) + 1
    if not best or count <= most:
        return None
    asked = scorer.catalogue.take(torch.tensor([best[0].item]))
    raised = leave_one_out(scorer, log, piece, asked, now)[0][:, 0]
    chosen = np.argsort(-raised, kind="stable")[:most]
    chosen = chosen[raised[chosen] > 0]
    if not len(chosen):
        return None
    estimate = gradient_times_input(scorer, log, piece, asked, now)[:, 0]
    estimated = np.argsort(-estimate, kind="stable")[: len(chosen)]
    removals = [chosen, estimated, *(rng.choice(count, len(chosen), replace=False) for _ in range(DRAWS))]
    drops = _drops(scorer, log, [np.isin(piece, removed) for removed in removals], asked, now)
    overlap = len(np.intersect1d(chosen, estimated)) / len(chosen)
    return drops[0], drops[1], drops[2:].mean(), overlap, len(chosen) / count, _spearman(raised, estimate)


def _drops(
    scorer: ModelScorer, log: EventLog, left_out: list[NDArray[np.bool_]], asked: CatalogueVectors, now: int
) -> NDArray[np.float64]:
    """[removals] how much an item's score falls without the events that each marks."""
    changed = without(log, [np.zeros(len(log), dtype=np.bool_), *left_out])
    own = None if scorer.personal is None else np.repeat(scorer.personal[:1], changed.users, axis=0)
    cases = asked_now(changed, np.zeros(len(scorer.catalogue.items), dtype=np.bool_), now)
    scores = scorer.of(changed, own).score(cases, np.arange(len(cases)), asked)[:, 0].double().numpy()
    drops: NDArray[np.float64] = scores[0] - scores[1:]
    return drops


def _spearman(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's correlation of the ranks; 0 if all of one side are alike."""
    if not np.ptp(one) or not np.ptp(other):
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
