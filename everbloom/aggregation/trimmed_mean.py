"""The coordinate-wise trimmed mean (Yin et al., ICML 2018, arXiv 1803.01498, definition 2), row by row among who touched the row."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.assumed import CountsOnHonest
from everbloom.aggregation.updates import Updates


class TrimmedMean(CountsOnHonest):
    """Each parameter's mean without its lowest and highest values, as many of each as devices may be wrong; for rows that few touch, the median."""

    name: Literal["trimmed-mean"]

    def combine(
        self, state: Mapping[str, NDArray[np.float32]], updates: Updates
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `AggregationRule`."""
        wrong = self.wrong(len(updates))
        found = np.zeros(updates.parameters, dtype=np.float32)
        for block in updates.ordered(self.floor(len(updates))):
            found[block.columns] = block.middle(np.full(len(block.count), wrong))
        return found, {}
