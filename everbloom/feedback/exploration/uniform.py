"""Exploration alone."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM
from everbloom.feedback.lists import NOT_SHOWN, Lists, best
from everbloom.methods import Exploration
from everbloom.seeding import PublicDraws


class UniformLists(Exploration):
    """Items uniformly at random without replacement, whatever their scores: what a model learns from these clicks its own lists have not bent."""

    name: Literal["random"]

    def lists(self, scores: NDArray[np.float32], n: int, counts: NDArray[np.int64], draws: PublicDraws) -> Lists:
        """See `Exploration`."""
        items = shuffled(scores, n, draws)
        left = (scores > NOT_SHOWN).sum(axis=1)[:, None] - np.arange(n)
        return Lists(items, np.where(items == NO_ITEM, 0.0, 1.0 / np.maximum(left, 1)))


def shuffled(scores: NDArray[np.float32], n: int, draws: PublicDraws) -> NDArray[np.int32]:
    """[users, n] the first of a random order of what each user can be shown."""
    keys = draws.uniforms("feedback-random-items", scores.shape[1])
    return best(np.where(scores > NOT_SHOWN, keys, NOT_SHOWN), n)
