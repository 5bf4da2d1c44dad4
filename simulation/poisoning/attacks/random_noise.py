"""Noise in place of an update (the Gaussian attack of Blanchard et al., 2017)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from simulation.poisoning.attack import Attack, Knowledge


class RandomNoise(Attack):
    """Each sends Gaussian noise, `scale` times as long as its own update would be."""

    name: Literal["random"]
    scale: PositiveFloat = 10.0

    def forge(self, knowledge: Knowledge) -> NDArray[np.float32]:
        """See `Attack`."""
        noise = knowledge.draws.normal(size=knowledge.honest.shape)
        length = np.linalg.norm(knowledge.honest.astype(np.float64), axis=1, keepdims=True)
        found: NDArray[np.float32] = (
            self.scale * length * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        ).astype(np.float32)
        return found
