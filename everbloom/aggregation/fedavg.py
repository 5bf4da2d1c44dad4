"""FedAvg (McMahan et al., 2017): the mean update, times a server learning rate."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.methods import ServerOptimizer


class FedAvg(ServerOptimizer):
    """w + lr * delta; lr = 1 is plain averaging of the clients' parameters."""

    name: Literal["fedavg"]
    learning_rate: PositiveFloat = 1.0

    def init(self, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """No state."""
        return {}

    def apply(
        self, state: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], mean_delta: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ServerOptimizer`."""
        return (parameters + np.float32(self.learning_rate) * mean_delta).astype(np.float32), {}
