"""FedAdam (Reddi et al., 2021)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.adaptive import AdaptiveOptimizer


class FedAdam(AdaptiveOptimizer):
    """v = b2 v + (1 - b2) d^2."""

    name: Literal["fedadam"]

    def second_moment(self, v: NDArray[np.float32], squared: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `AdaptiveOptimizer`."""
        return np.float32(self.beta2) * v + np.float32(1 - self.beta2) * squared
