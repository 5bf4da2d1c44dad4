"""The coordinate-wise median (Yin et al., ICML 2018, arXiv 1803.01498, definition 1), row by row among who touched the row."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.assumed import CountsOnHonest
from everbloom.aggregation.updates import Updates


class Median(CountsOnHonest):
    """The median of each parameter among devices that touched its row, times their share: what few ask for, however loudly, is not heard."""

    name: Literal["median"]

    def combine(
        self, state: Mapping[str, NDArray[np.float32]], updates: Updates
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `AggregationRule`."""
        found = np.zeros(updates.parameters, dtype=np.float32)
        for block in updates.ordered(self.floor(len(updates))):
            found[block.columns] = block.middle((block.count - 1) // 2)
        return found, {}
