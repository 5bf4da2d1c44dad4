"""Centred clipping (Karimireddy, He and Jaggi, ICML 2021, "Learning from history for Byzantine robust optimization", arXiv 2012.10333).

v <- v + mean of (x_i - v) min(1, radius / |x_i - v|), from the last round's aggregate. A cohort's devices are others every round and keep no
momentum, on which the paper's guarantee over many rounds rests: what is here is one round's.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from everbloom.aggregation.norm_clipping import within
from everbloom.aggregation.updates import Updates, norms, scaled_mean
from everbloom.methods import AggregationRule


class CentredClipping(AggregationRule):
    """The mean of updates, each drawn to within `radius` of the last round's aggregate: however far one is, it counts for one step of that length."""

    name: Literal["centred-clipping"]
    radius: PositiveFloat | None = None
    """L2 norm; None: the median distance from the centre, which a minority cannot choose. (The paper leaves it to be tuned.)"""
    iterations: PositiveInt = 3
    """Steps of the centre in a round."""

    def init(self, parameters: int) -> dict[str, NDArray[np.float32]]:
        """The centre."""
        return {"centre": np.zeros(parameters, dtype=np.float32)}

    def combine(
        self, state: Mapping[str, NDArray[np.float32]], updates: Updates
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `AggregationRule`."""
        centre = state["centre"].astype(np.float64)
        for _ in range(self.iterations):
            away = norms(updates, centre)
            factors = within(away, float(np.median(away)) if self.radius is None else self.radius)
            centre = centre * (1 - factors.mean()) + scaled_mean(updates, factors)
        found = centre.astype(np.float32)
        return found, {"centre": found}
