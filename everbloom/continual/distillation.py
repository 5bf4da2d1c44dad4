"""Distillation from the last period's model (Li and Hoiem, "Learning without forgetting", 2016; Hinton et al., 2015)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.methods import ContinualMethod


class Distillation(ContinualMethod):
    """Each example's loss gets `weight` times the divergence of the model's ranking of its candidates from the teacher's. Devices are sent the
    teacher beside the model, which doubles what they download."""

    name: Literal["distillation"]
    weight: PositiveFloat = 1.0
    temperature: PositiveFloat = 1.0
    privacy_cost: ClassVar[str] = (
        "none: the teacher is a released model, and its term is part of each example's loss, clipped with it"
    )

    def begin(
        self,
        period: int,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        initial: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ContinualMethod`."""
        return parameters, {"teacher": parameters} if period else {}

    def teacher(self, memory: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
        """See `ContinualMethod`."""
        return memory.get("teacher")

    @property
    def distillation(self) -> "Distillation":
        """See `ContinualMethod`."""
        return self
