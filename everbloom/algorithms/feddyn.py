"""FedDyn: dynamic regularisation (Acar et al., 2021, arXiv 2111.04263, algorithm 1)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.methods import FederatedAlgorithm

if TYPE_CHECKING:
    import torch

    from everbloom.config import LearningConfig


class FedDyn(FederatedAlgorithm):
    """Every device's loss is bent so that all devices together stand still at a minimum of the mean loss alone, however far each goes by itself.

    Device, with g = 0 at first: down loss(w) - <g, w> + alpha/2 |w - w_global|^2; after the round g <- g - alpha (w - w_global).
    Server, with h = 0 at first, a share s of all devices and their mean update: h <- h - alpha s mean; the update is mean - h / alpha.

    The paper's server takes it as it is: `federation.optimizer = { name = "fedavg", learning_rate = 1.0 }`. What is sent is as long as in FedAvg.
    """

    name: Literal["feddyn"]
    alpha: PositiveFloat = 0.1
    """Strength of the pull; its inverse is how far what was learnt before moves the server."""
    units: ClassVar[tuple[str, ...]] = ("user",)
    unsound: ClassVar[str] = (
        "what a device remembers was learnt from all of its examples and enters every later step without noise"
    )
    steers: ClassVar[bool] = True

    @property
    def proximal(self) -> float:
        """See `FederatedAlgorithm`."""
        return self.alpha

    def kept(self, parameters: int) -> int:
        """g."""
        return parameters

    def linear(self, kept: "torch.Tensor", sent: "torch.Tensor | None") -> "torch.Tensor":
        """See `FederatedAlgorithm`."""
        return -kept

    def remembered(
        self, kept: "torch.Tensor", delta: "torch.Tensor", sent: "torch.Tensor | None", learning: "LearningConfig"
    ) -> "torch.Tensor":
        """See `FederatedAlgorithm`."""
        return kept - self.alpha * delta

    def begin(self, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """h."""
        return {"h": np.zeros_like(parameters)}

    def combined(
        self,
        memory: Mapping[str, NDArray[np.float32]],
        mean_delta: NDArray[np.float32],
        share: float,
        learning: "LearningConfig",
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `FederatedAlgorithm`."""
        h: NDArray[np.float32] = memory["h"] - np.float32(self.alpha * share) * mean_delta
        update: NDArray[np.float32] = mean_delta - h / np.float32(self.alpha)
        return update, {"h": h}
