"""A period trains an adapter of its own on top of the model so far, and the two are merged when it ends (Ilharco et al., "Editing models with task
arithmetic", 2023; Wortsman et al., "Robust fine-tuning", 2022; averaged as in Izmailov et al., "Averaging weights", 2018)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from everbloom.continual.penalty import implicit_step
from everbloom.methods import ContinualMethod

_LATE = 3
"""How much the late rounds count in the average: with 0 all alike (Shamir and Zhang, 2013, polynomial-decay averaging)."""


class Merging(ContinualMethod):
    """The adapter is the difference that the period's rounds make to the shared parameters; merging adds a part of it. A round's model is the last
    one plus noise (few devices, few events, and under privacy the plan's): the average over rounds has much less of it, keeps what they agree on, and
    costs nothing."""

    name: Literal["merging"]
    weights: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (0.5,)
    """Parts of the adapter to choose from, by the period's validation: a period that taught noise leaves little behind. One: nothing to choose."""
    start: Literal["trained", "merged"] = "trained"
    """Where the next period's rounds begin: at the end of this one's, so that only what is served is merged and learning is as fast as in fine-tuning
    (slow and fast weights: Tarvainen and Valpola, "Mean teachers", 2017), or at what was merged."""
    average: bool = False
    """Whether the adapter ends at the average over the period's rounds, the later the more, or at the best round."""
    strength: NonNegativeFloat = 0.0
    """And a pull back to the merged model while the adapter is trained, as in `proximal`: it keeps still what the period says nothing of."""
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
        if not period:
            return parameters, {}
        trained = memory.get("trained", parameters) if self.start == "trained" else parameters
        return trained, {"previous": parameters, "trained": trained}

    def pull(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], rate: float
    ) -> NDArray[np.float32] | None:
        """See `ContinualMethod`."""
        if not self.strength or "previous" not in memory:
            return None
        return implicit_step(parameters, memory["previous"], self.strength, rate)

    def observe(
        self,
        memory: Mapping[str, NDArray[np.float32]],
        parameters: NDArray[np.float32],
        mean_delta: NDArray[np.float32],
        noise_deviation: float,
    ) -> dict[str, NDArray[np.float32]]:
        """See `ContinualMethod`."""
        if not self.average or "previous" not in memory:
            return dict(memory)
        count = memory.get("count", np.zeros(1, dtype=np.float32)) + 1
        share = (_LATE + 1) / (count + _LATE)
        mean = memory.get("mean", parameters)
        return {**memory, "count": count, "mean": ((1 - share) * mean + share * parameters).astype(np.float32)}

    def merged(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """See `ContinualMethod`."""
        if "previous" not in memory:
            return [parameters]
        adapter = self._trained(memory, parameters) - memory["previous"]
        return [(memory["previous"] + np.float32(weight) * adapter).astype(np.float32) for weight in self.weights]

    def end(
        self, memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32], trained: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """See `ContinualMethod`."""
        return {**memory, "trained": self._trained(memory, trained)}

    @staticmethod
    def _trained(memory: Mapping[str, NDArray[np.float32]], parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        return memory.get("mean", parameters)
