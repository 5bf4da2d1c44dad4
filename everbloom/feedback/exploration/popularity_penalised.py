"""Exploration towards what few have met."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.feedback.lists import NOT_SHOWN, Lists, best, certain, standardised
from everbloom.methods import Exploration
from everbloom.seeding import PublicDraws


class PopularityPenalised(Exploration):
    """The best by standardised score - weight * standardised log(1 + count), with an item's interactions so far as its count: re-ranking against
    popularity (Steck, "Item popularity and recommendation accuracy", RecSys 2011, discounts by a power of the count). Nothing is left to chance."""

    name: Literal["popularity-penalised"]
    weight: Annotated[float, Field(ge=0)] = 0.5
    """Standard deviations of score that one of popularity costs; 0: greedy."""

    def lists(self, scores: NDArray[np.float32], n: int, counts: NDArray[np.int64], draws: PublicDraws) -> Lists:
        """See `Exploration`."""
        allowed = scores > NOT_SHOWN
        popularity = standardised(np.where(allowed, np.log1p(counts), NOT_SHOWN))
        penalty = self.weight * np.where(allowed, popularity, 0.0)
        return certain(best(np.where(allowed, standardised(scores) - penalty, NOT_SHOWN), n))
