"""Retraining from scratch on everything so far, in every period: the upper bound, and the most work."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.methods import ContinualMethod


class Retrain(ContinualMethod):
    """Each period begins with the untrained model; devices learn from their whole history."""

    name: Literal["retrain"]
    each: PositiveInt | None = None
    """Rounds of every period; default: as many as the warm start has."""
    privacy_cost: ClassVar[str] = "its rounds, all of them in every period anew; old events are read in all of them"
    whole_history: ClassVar[bool] = True

    def rounds(self, period: int, rounds: int, warm_rounds: int) -> int:
        """See `ContinualMethod`."""
        return self.each or warm_rounds

    def begin(
        self,
        period: int,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        initial: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ContinualMethod`."""
        return initial, dict(memory)
