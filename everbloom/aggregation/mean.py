"""The mean of a round's updates: the best there is while everybody is honest, and in the hands of anybody who is not."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.updates import Updates, scaled_mean
from everbloom.methods import AggregationRule


class Mean(AggregationRule):
    """The mean over all devices."""

    name: Literal["mean"]

    separate: ClassVar[bool] = False

    def combine(
        self, state: Mapping[str, NDArray[np.float32]], updates: Updates
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `AggregationRule`."""
        return scaled_mean(updates, np.ones(len(updates))).astype(np.float32), {}
