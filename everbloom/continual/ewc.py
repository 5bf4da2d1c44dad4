"""Elastic weight consolidation: a pull towards the last period's model, stronger where parameters mattered (Kirkpatrick et al., 2017; the running
form of Schwarz et al., 2018)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from everbloom.continual.penalty import implicit_step
from everbloom.methods import ContinualMethod


class Ewc(ContinualMethod):
    """`strength / 2 sum_i F_i (w_i - w_previous_i)^2`, F the diagonal Fisher information, scaled to a mean of 1.

    F is estimated inside the private update: it is a moving average of squared mean updates of the period's rounds, less the variance of the noise
    that the plan put there. It costs nothing and devices send nothing for it. An average over devices is squared, not squares averaged: what
    different devices pull in different directions counts little, which is what a shared model should not be held to.
    """

    name: Literal["ewc"]
    strength: PositiveFloat = 0.1
    window: Annotated[float, Field(ge=1)] = 10.0
    """About so many of a period's last rounds make its F."""
    keep: Annotated[float, Field(ge=0, le=1)] = 0.9
    """How much of the F of earlier periods remains when a period's is added."""
    privacy_cost: ClassVar[str] = "none: F comes from updates that were released anyway"

    def begin(
        self,
        period: int,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        initial: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ContinualMethod`."""
        if period == 0:
            return parameters, {"squares": np.zeros_like(parameters)}
        return parameters, {**memory, "squares": np.zeros_like(parameters), "previous": parameters}

    def pull(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], rate: float
    ) -> NDArray[np.float32] | None:
        """See `ContinualMethod`."""
        if "previous" not in memory or not (mean := float(memory["fisher"].mean(dtype=np.float64))) > 0:
            return None
        stiffness = memory["fisher"] * np.float32(self.strength / mean)
        return implicit_step(parameters, memory["previous"], stiffness, rate)

    def observe(
        self,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        mean_delta: NDArray[np.float32],
        noise_deviation: float,
    ) -> dict[str, NDArray[np.float32]]:
        """See `ContinualMethod`."""
        new = np.float32(1 / self.window)
        squares = np.square(mean_delta) - np.float32(noise_deviation**2)
        return {**memory, "squares": (1 - new) * memory["squares"] + new * squares}

    def end(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], trained: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """See `ContinualMethod`."""
        fisher = np.maximum(memory["squares"], 0)  # what is left below 0 is noise
        if "fisher" in memory:
            fisher = fisher + np.float32(self.keep) * memory["fisher"]
        return {**memory, "fisher": fisher}
