"""A period trains an adapter of its own on top of the model so far, and the two are merged when it ends (Ilharco et al., "Editing models with task
arithmetic", 2023; Wortsman et al., "Robust fine-tuning", 2022)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.methods import ContinualMethod


class Merging(ContinualMethod):
    """The adapter is the difference that the period's rounds make to the shared parameters; merging adds a part of it. Which part is chosen by the
    period's validation, so that a period that taught noise leaves little behind."""

    name: Literal["merging"]
    weights: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (0.25, 0.5, 0.75, 1.0)
    """Parts of the adapter to choose from; with one there is nothing to choose."""
    privacy_cost: ClassVar[str] = (
        "none: it reads released models alone; the choice is made by central validation, like that of rounds"
    )

    def begin(
        self,
        period: int,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        initial: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ContinualMethod`."""
        return parameters, {"previous": parameters} if period else {}

    def merged(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """See `ContinualMethod`."""
        if "previous" not in memory:
            return [parameters]
        adapter = parameters - memory["previous"]
        return [(memory["previous"] + np.float32(weight) * adapter).astype(np.float32) for weight in self.weights]
