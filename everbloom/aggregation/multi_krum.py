"""Multi-Krum (Blanchard et al., NeurIPS 2017, "Machine learning with adversaries"): the mean of the updates that have the nearest neighbours."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.aggregation.assumed import CountsOnHonest
from everbloom.aggregation.updates import Updates, scaled_mean


class MultiKrum(CountsOnHonest):
    """Of n devices of which f may be wrong: each scores the sum of squared distances to its n - f - 2 nearest; the n - f - 2 lowest are averaged."""

    name: Literal["multi-krum"]

    @property
    def least(self) -> int:
        """See `AggregationRule`: the theorem asks for n > 2 f + 2."""
        return int(2 / (1 - 2 * self.byzantine)) + 1

    def combine(
        self, state: Mapping[str, NDArray[np.float32]], updates: Updates
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """See `AggregationRule`."""
        chosen = self.chosen(updates)
        weight = np.zeros(len(updates))
        weight[chosen] = len(updates) / len(chosen)
        return scaled_mean(updates, weight).astype(np.float32), {}

    def chosen(self, updates: Updates) -> NDArray[np.int64]:
        """The positions of the clients that are averaged."""
        near = len(updates) - self.wrong(len(updates)) - 2
        distances = _squared_distances(updates)
        np.fill_diagonal(distances, np.inf)
        scores = np.sort(distances, axis=1)[:, :near].sum(axis=1)
        found: NDArray[np.int64] = np.argsort(scores, kind="stable")[:near]
        return found


def _squared_distances(updates: Updates) -> NDArray[np.float64]:
    """[clients, clients]."""
    products = np.zeros((len(updates), len(updates)))
    for block in updates.columns():
        columns = updates.deltas[:, block].astype(np.float64)
        products += columns @ columns.T
    own = np.diag(products)
    found: NDArray[np.float64] = np.maximum(own[:, None] + own[None, :] - 2 * products, 0)
    return found
