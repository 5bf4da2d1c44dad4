"""Norm clipping (Sun et al., 2019, "Can you really backdoor federated learning?", arXiv 1911.07963): nobody pushes harder than a bound."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.aggregation.updates import Updates, norms, scaled_mean
from everbloom.methods import AggregationRule


class NormClipping(AggregationRule):
    """The mean of updates that are scaled down to a norm of at most `bound`."""

    name: Literal["norm-clipping"]
    bound: PositiveFloat | None = None
    """L2 norm; None: the median norm of the round's updates, which a minority cannot choose."""

    def combine(
        self, state: Mapping[str, NDArray[np.float32]], updates: Updates
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `AggregationRule`."""
        lengths = norms(updates)
        bound = float(np.median(lengths)) if self.bound is None else self.bound
        return scaled_mean(updates, within(lengths, bound)).astype(np.float32), {}


def within(lengths: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """[clients] what vectors of these lengths are multiplied with, so that none is longer than `bound`."""
    factors = np.ones(len(lengths))
    np.divide(bound, lengths, out=factors, where=lengths > bound)
    return factors
