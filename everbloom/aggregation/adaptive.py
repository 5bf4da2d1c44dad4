"""What FedAdam and FedYogi share: an adaptive step along the mean update (Reddi et al., 2021, arXiv 2003.00295, algorithm 2)."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from everbloom.methods import ServerOptimizer


class AdaptiveOptimizer(ServerOptimizer):
    """m = b1 m + (1 - b1) d; v by the subclass; w + lr * m / (sqrt(v) + tau), both corrected for their zero start as in Adam."""

    learning_rate: PositiveFloat = 0.004
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    tau: PositiveFloat = 1e-8
    """Adaptivity: under noise, about the noise's standard deviation per coordinate, so that coordinates of pure noise do not walk at full speed."""
    decay_rounds: PositiveFloat | None = None
    """The learning rate falls as 1 / (1 + round / decay_rounds); None keeps it constant."""
    anchor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Each step goes this fraction of the way back to the period's initial parameters first (decoupled, as in AdamW; Loshchilov and Hutter, 2019):
    what no update asks for again and again returns, noise above all."""

    @abstractmethod
    def second_moment(self, v: NDArray[np.float32], squared: NDArray[np.float32]) -> NDArray[np.float32]:
        """The new v; [params]."""

    def init(self, parameters: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Both moments, the number of steps taken, and with an anchor the initial parameters."""
        zero = np.zeros_like(parameters)
        anchor = {"anchor": parameters.copy()} if self.anchor else {}
        return {"m": zero, "v": zero.copy(), "step": np.zeros(1, dtype=np.float32), **anchor}

    def apply(
        self, state: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], mean_delta: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ServerOptimizer`."""
        step = int(state["step"][0]) + 1
        m = np.float32(self.beta1) * state["m"] + np.float32(1 - self.beta1) * mean_delta
        v = self.second_moment(state["v"], mean_delta * mean_delta)
        m_hat, v_hat = m / np.float32(1 - self.beta1**step), v / np.float32(1 - self.beta2**step)
        rate = self.learning_rate / (1 + (step - 1) / self.decay_rounds) if self.decay_rounds else self.learning_rate
        if self.anchor:
            parameters = parameters + np.float32(self.anchor) * (state["anchor"] - parameters)
        moved = parameters + np.float32(rate) * m_hat / (np.sqrt(v_hat) + np.float32(self.tau))
        return moved.astype(np.float32), {
            "m": m.astype(np.float32),
            "v": v.astype(np.float32),
            "step": np.array([step], dtype=np.float32),
            **({"anchor": state["anchor"]} if self.anchor else {}),
        }
