"""What is served is the running average of the rounds' models, over all periods."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.continual.running_average import average_of, averaged
from everbloom.methods import ContinualMethod


class Averaging(ContinualMethod):
    """After each round `average += (1 - decay) (model - average)`, over all rounds of all periods. The average is served and measured; the rounds go
    on from their own last model, so nothing that is learnt waits for it.

    Since the average reaches back over 1 / (1 - decay) rounds, what the last periods taught leaves it slowly.
    """

    name: Literal["averaging"]
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.97
    """What the average keeps of itself in a round: it reaches back over about 1 / (1 - decay) of them. With 0 this is fine-tuning."""
    privacy_cost: ClassVar[str] = "none: the average is made of models that were released anyway"

    def begin(
        self,
        period: int,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        initial: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `ContinualMethod`."""
        return memory.get("trained", parameters), dict(memory)

    def observe(
        self,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        mean_delta: NDArray[np.float32],
        noise_deviation: float,
    ) -> dict[str, NDArray[np.float32]]:
        """See `ContinualMethod`."""
        return averaged(memory, parameters, self.decay)

    def merged(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """See `ContinualMethod`."""
        return [average_of(memory, parameters)]

    def end(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], trained: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """See `ContinualMethod`."""
        return {**memory, "trained": trained}
