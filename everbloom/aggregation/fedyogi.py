"""FedYogi (Reddi et al., 2021): Adam whose second moment moves additively, so that it cannot collapse in one round."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.adaptive import AdaptiveOptimizer


class FedYogi(AdaptiveOptimizer):
    """v = v - (1 - b2) d^2 sign(v - d^2)."""

    name: Literal["fedyogi"]

    def second_moment(self, v: NDArray[np.float32], squared: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `AdaptiveOptimizer`."""
        moved: NDArray[np.float32] = v - np.float32(1 - self.beta2) * squared * np.sign(v - squared)
        return moved
