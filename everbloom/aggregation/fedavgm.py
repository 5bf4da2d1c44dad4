"""FedAvgM (Hsu et al., 2019): momentum on the server."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from everbloom.methods import ServerOptimizer


class FedAvgM(ServerOptimizer):
    """v = momentum * v + delta; w + lr * v."""

    name: Literal["fedavgm"]
    learning_rate: PositiveFloat = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9

    def init(self, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The velocity."""
        return {"velocity": np.zeros_like(parameters)}

    def apply(
        self, state: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], mean_delta: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ServerOptimizer`."""
        velocity = (np.float32(self.momentum) * state["velocity"] + mean_delta).astype(np.float32)
        return (parameters + np.float32(self.learning_rate) * velocity).astype(np.float32), {"velocity": velocity}
