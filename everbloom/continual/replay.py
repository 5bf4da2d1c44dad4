"""Replay: a device rehearses some of its own old events beside the new ones (Rolnick et al., 2019). They never leave it."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from everbloom.methods import ContinualMethod

_DAY = 86_400


class Replay(ContinualMethod):
    """In each round a device draws at most `budget` of its old events anew, without replacement and by weight, and learns them like new ones.

    An event's chance depends on itself and the draw alone (bottom-k of exponential keys: Efraimidis and Spirakis, 2006), so one old example more
    pushes at most one other out, and one new example more brings at most one old one in: a step's sum moves by two clip norms instead of one, and
    the noise for examples and interactions is measured against that.
    For users it costs nothing: the whole update is clipped.
    """

    name: Literal["replay"]
    budget: PositiveInt = 20
    """Old events of a device in a round, at most."""
    ratio: Annotated[float, Field(gt=0, le=1)] | None = 0.5
    """And at most so many for each new event: a device with little news rehearses little, so that the past of those who are silent does not drown
    the present. None: every device rehearses up to its budget in every round."""
    choice: Literal["uniform", "recency", "surprise"] = "uniform"
    """`recency`: chances halve every `half_life_days`; `surprise`: they are proportional to an event's loss under the model that was sent."""
    half_life_days: PositiveFloat = 60.0
    privacy_cost: ClassVar[str] = (
        "for examples and interactions twice the sensitivity, hence twice the noise at the same epsilon; for users none"
    )
    reach: ClassVar[float] = 2.0

    @property
    def replay(self) -> "Replay":
        """See `ContinualMethod`."""
        return self

    def most(self, new: NDArray[np.int64]) -> NDArray[np.int64]:
        """[devices] how many old events each rehearses at most, of `new` [devices] new ones."""
        if self.ratio is None:
            return np.full_like(new, self.budget)
        most: NDArray[np.int64] = np.minimum(np.ceil(self.ratio * new).astype(np.int64), self.budget)
        return most

    def weights(self, age: NDArray[np.int64], loss: NDArray[np.float32] | None) -> NDArray[np.float64]:
        """[events] relative chances, positive. `age` [events] in seconds before the period's events; `loss` [events] where `choice` is surprise."""
        if self.choice == "recency":
            chance: NDArray[np.float64] = np.exp2(-np.minimum(age / (self.half_life_days * _DAY), 500.0))
            return chance
        if self.choice == "surprise":
            assert loss is not None
            return np.maximum(loss.astype(np.float64), 1e-6)
        return np.ones(len(age))
