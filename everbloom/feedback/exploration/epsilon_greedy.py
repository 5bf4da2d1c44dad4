"""A part of the list is left to chance."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.data.events import NO_ITEM
from everbloom.feedback.exploration.uniform import shuffled
from everbloom.feedback.lists import NOT_SHOWN, Lists, best
from everbloom.methods import Exploration
from everbloom.seeding import PublicDraws


class EpsilonGreedy(Exploration):
    """Rank by rank from the top: with probability epsilon any item that is not yet in the list, uniformly, else the best of these (Sutton & Barto,
    "Reinforcement learning", 2nd ed., 2.2, for each slot)."""

    name: Literal["epsilon-greedy"]
    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1

    def lists(self, scores: NDArray[np.float32], n: int, counts: NDArray[np.int64], draws: PublicDraws) -> Lists:
        """See `Exploration`.

        Skipping what is listed already, the next of a random order is uniform among the rest, so one order a user serves the whole list.
        """
        greedy, random = best(scores, n), shuffled(scores, n, draws)
        explores = draws.uniforms("feedback-epsilon", n) < self.epsilon
        left = (scores > NOT_SHOWN).sum(axis=1)[:, None] - np.arange(n)
        items = np.full(greedy.shape, NO_ITEM, dtype=np.int32)
        propensity = np.zeros(greedy.shape)
        for rank in range(n):
            shown = items[:, :rank]
            first = _next(greedy, shown)
            items[:, rank] = np.where(explores[:, rank], _next(random, shown), first)
            by_chance = self.epsilon / np.maximum(left[:, rank], 1)
            propensity[:, rank] = by_chance + (1.0 - self.epsilon) * (items[:, rank] == first)
        return Lists(items, np.where(items == NO_ITEM, 0.0, propensity))


def _next(order: NDArray[np.int32], shown: NDArray[np.int32]) -> NDArray[np.int32]:
    """[users] the first of each order [users, n] that is not among the user's `shown` [users, fewer than n]."""
    fresh = (order[:, :, None] != shown[:, None, :]).all(axis=2) | (order == NO_ITEM)
    first: NDArray[np.int32] = order[np.arange(len(order)), fresh.argmax(axis=1)]
    return first
