"""Who is asked in a round: seeded, over those who are eligible."""

import numpy as np
from numpy.typing import NDArray

from everbloom.config import FederationConfig
from everbloom.seeding import numpy_generator


def cohort_size(federation: FederationConfig, population: int) -> int:
    """The (expected) number of clients of a round; at least one."""
    if isinstance(federation.cohort, int):
        return min(federation.cohort, population)
    return max(1, round(federation.cohort * population))


def sample_cohort(
    clients: NDArray[np.int64],
    eligible: NDArray[np.bool_],
    federation: FederationConfig,
    seed: int,
    period: int,
    round: int,
) -> NDArray[np.int64]:
    """Client numbers of the cohort, ascending. `clients` [n] is the population, `eligible` [n].

    `uniform`: a fixed size without replacement among the eligible. `poisson`: each eligible client independently,
    with probability cohort / population.
    """
    rng = numpy_generator(seed, "cohort", period=period, round=round)
    size = cohort_size(federation, len(clients))
    if federation.sampler == "poisson":
        return clients[(rng.random(len(clients)) < size / len(clients)) & eligible]
    able = clients[eligible]
    return np.sort(rng.choice(able, size=min(size, len(able)), replace=False))
