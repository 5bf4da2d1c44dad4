"""Promotion by colluders who know that long updates are clipped or thrown out: each looks like a usual one, and only their direction is shared."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simulation.poisoning.attack import Attack, Knowledge


class PromoteWithin(Attack):
    """Each sends its own update with the direction that raises the target's score mixed in, and no longer than the median of theirs."""

    name: Literal["promote-within"]
    share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Of the length that goes into the target's direction."""

    promotes: ClassVar[bool] = True

    def forge(self, knowledge: Knowledge) -> NDArray[np.float32]:
        """See `Attack`."""
        length = np.linalg.norm(knowledge.honest.astype(np.float64), axis=1, keepdims=True)
        own = np.divide(knowledge.honest, length, out=np.zeros(knowledge.honest.shape), where=length > 0)
        mixed = self.share * knowledge.climb() + (1 - self.share) * own
        mixed *= knowledge.length / np.linalg.norm(mixed, axis=1, keepdims=True)
        found: NDArray[np.float32] = mixed.astype(np.float32)
        return found
