"""A pull towards the last period's model, the same in every coordinate (FedProx's penalty, Li et al., 2020, across periods instead of devices)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.continual.penalty import implicit_step
from everbloom.methods import ContinualMethod


class Proximal(ContinualMethod):
    """`strength / 2 |w - w_previous|^2` is added to the loss. It reads released models alone, so the server adds its step to the mean update: it is
    neither clipped nor noised, and devices need not be sent a second model. With one local step this is what devices would have computed."""

    name: Literal["proximal"]
    strength: PositiveFloat = 0.1
    privacy_cost: ClassVar[str] = "none: the pull reads released models alone"

    def begin(
        self,
        period: int,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        initial: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ContinualMethod`."""
        return parameters, {"previous": parameters} if period else {}

    def pull(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], rate: float
    ) -> NDArray[np.float32] | None:
        """See `ContinualMethod`."""
        return implicit_step(parameters, memory["previous"], self.strength, rate) if "previous" in memory else None
