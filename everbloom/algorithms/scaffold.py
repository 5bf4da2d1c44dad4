"""SCAFFOLD: control variates against client drift (Karimireddy et al., 2020, arXiv 1910.06378, algorithm 1, option II)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.methods import FederatedAlgorithm

if TYPE_CHECKING:
    import torch

    from everbloom.config import LearningConfig


class Scaffold(FederatedAlgorithm):
    """Every step is corrected by how a device's gradient differs from everybody's, as far as both were known after the last rounds.

    Device, with c_i = 0 at first, K steps of size eta: down the gradient of loss(w) + <c - c_i, w>; then c_i <- c_i - c - delta / (K eta).
    Server, with c = 0 at first and a share s of all devices: c <- c + s (mean of the changes of c_i), which is -c - mean delta / (K eta): it follows
    from the mean update, so that devices send nothing beside it. The server sends c beside the model.
    """

    name: Literal["scaffold"]
    units: ClassVar[tuple[str, ...]] = ("user",)
    unsound: ClassVar[str] = (
        "a device's control variate was learnt from all of its examples and enters every later step without noise"
    )
    steers: ClassVar[bool] = True
    sends: ClassVar[bool] = True

    def kept(self, parameters: int) -> int:
        """c_i."""
        return parameters

    def linear(self, kept: "torch.Tensor", sent: "torch.Tensor | None") -> "torch.Tensor":
        """See `FederatedAlgorithm`."""
        assert sent is not None, "the server sends its control variate"
        return sent - kept

    def remembered(
        self, kept: "torch.Tensor", delta: "torch.Tensor", sent: "torch.Tensor | None", learning: "LearningConfig"
    ) -> "torch.Tensor":
        """See `FederatedAlgorithm`."""
        assert sent is not None, "the server sends its control variate"
        return kept - sent - delta / (learning.local_steps * learning.learning_rate)

    def begin(self, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """c."""
        return {"c": np.zeros_like(parameters)}

    def sent(self, memory: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """See `FederatedAlgorithm`."""
        return memory["c"]

    def combined(
        self,
        memory: Mapping[str, NDArray[np.float32]],
        mean_delta: NDArray[np.float32],
        share: float,
        learning: "LearningConfig",
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `FederatedAlgorithm`."""
        change: NDArray[np.float32] = -memory["c"] - mean_delta / np.float32(
            learning.local_steps * learning.learning_rate
        )
        c: NDArray[np.float32] = memory["c"] + np.float32(share) * change
        return mean_delta, {"c": c}
