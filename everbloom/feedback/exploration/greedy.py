"""No exploration."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.feedback.lists import Lists, best, certain
from everbloom.methods import Exploration
from everbloom.seeding import PublicDraws


class Greedy(Exploration):
    """The items with the best scores."""

    name: Literal["greedy"]

    def lists(self, scores: NDArray[np.float32], n: int, counts: NDArray[np.int64], draws: PublicDraws) -> Lists:
        """See `Exploration`."""
        return certain(best(scores, n))
