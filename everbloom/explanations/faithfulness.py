"""Whether reasons are true: what happens to a score when the events that are named had not been there, against as many others."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from everbloom.data.events import EventLog
from everbloom.explanations.attribution import gradient_times_input, leave_one_out
from everbloom.explanations.counterfactuals import asked_now, pieces, without
from everbloom.explanations.recommending import Recommending
from everbloom.seeding import numpy_generator

DRAWS = 10
"""Random removals that each named one is compared with."""


@dataclass(frozen=True)
class Faithfulness:
    """Over recommendations [cases], one each of different users: how much the score falls (in logits) without the `named` events and without as many
    `random` ones of those that were read; and Spearman's `agreement` between leave-one-out and gradient x input over the events of each.
    """

    named: NDArray[np.float64]
    random: NDArray[np.float64]
    agreement: NDArray[np.float64]

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
    named, random, agreement = [], [], []
    for number, (log, personal) in enumerate(histories):
        scorer = recommending.scorer.of(log, None if personal is None else personal[None])
        best = recommending.recommend(log, 1, now=now, personal=personal)
        piece = pieces(log, scorer.model.history - 1)
        count = int(piece.max(initial=-1)) + 1
        if not best or count <= most:
            continue
        asked = scorer.catalogue.take(torch.tensor([best[0].item]))
        raised = leave_one_out(scorer, log, piece, asked, now)[0][:, 0]
        chosen = np.argsort(-raised, kind="stable")[:most]
        chosen = chosen[raised[chosen] > 0]
        if not len(chosen):
            continue
        rng = numpy_generator(seed, "faithfulness", client=number)
        others = [rng.choice(count, len(chosen), replace=False) for _ in range(DRAWS)]
        marks = [np.isin(piece, removed) for removed in (np.array([], dtype=np.int64), chosen, *others)]
        changed = without(log, marks)
        own = None if personal is None else np.repeat(personal[None], changed.users, axis=0)
        cases = asked_now(changed, np.zeros(recommending.items, dtype=np.bool_), now)
        scores = scorer.of(changed, own).score(cases, np.arange(len(cases)), asked)[:, 0].double().numpy()
        named.append(scores[0] - scores[1])
        random.append(scores[0] - scores[2:].mean())
        agreement.append(_spearman(raised, gradient_times_input(scorer, log, piece, asked, now)[:, 0]))
    return Faithfulness(np.array(named), np.array(random), np.array(agreement))


def _spearman(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's correlation of the ranks; 0 if all of one side are alike."""
    if not np.ptp(one) or not np.ptp(other):
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
