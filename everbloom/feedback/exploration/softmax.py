"""Lists drawn with probabilities that follow the scores."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.data.events import NO_ITEM
from everbloom.feedback.lists import NOT_SHOWN, Lists, best, standardised
from everbloom.methods import Exploration
from everbloom.seeding import PublicDraws


class Softmax(Exploration):
    """Draws without replacement in proportion to exp(score / temperature): a Plackett-Luce ranking, got by adding Gumbel noise and taking the best
    (Kool, van Hoof & Welling, "Stochastic beams and where to find them", ICML 2019)."""

    name: Literal["softmax"]
    temperature: PositiveFloat = 0.5
    """In standard deviations of a user's scores. Towards 0: greedy; large: random."""

    def lists(self, scores: NDArray[np.float32], n: int, counts: NDArray[np.int64], draws: PublicDraws) -> Lists:
        """See `Exploration`."""
        logits = standardised(scores) / self.temperature
        uniform = draws.uniforms("feedback-gumbel", scores.shape[1])
        gumbel = -np.log(-np.log(np.maximum(uniform, np.finfo(np.float64).tiny)))
        items = best(np.where(logits > NOT_SHOWN, logits + gumbel, NOT_SHOWN), n)
        return Lists(items, _plackett_luce(logits, items))


def _plackett_luce(logits: NDArray[np.float64], items: NDArray[np.int32]) -> NDArray[np.float64]:
    """[users, n] exp(logit) of each listed item over the sum of those that are not above it."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True, initial=np.finfo(np.float64).min))
    listed = np.where(items == NO_ITEM, 0.0, np.take_along_axis(weights, np.maximum(items, 0).astype(np.int64), axis=1))
    unlisted = weights.copy()
    owner, rank = np.nonzero(items != NO_ITEM)
    unlisted[owner, items[owner, rank]] = 0.0
    # From the last rank up: sums of what is left stay accurate where one item outweighs all others.
    remaining = np.cumsum(listed[:, ::-1], axis=1)[:, ::-1] + unlisted.sum(axis=1, keepdims=True)
    return np.where(items == NO_ITEM, 0.0, listed / np.where(remaining > 0, remaining, 1.0))
