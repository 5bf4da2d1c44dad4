"""Who is asked in a round: seeded, over those who may be asked, and at a cost that depends on the cohort and not on the population."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from everbloom.config import FederationConfig
from everbloom.seeding import numpy_generator

Eligible = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Client numbers [n] -> which of them may be asked [n]."""

_DRAWS_PER_SCAN = 16
"""A population is gone through whole when drawing has looked at one in so many of it, or would have to."""


def asked_size(federation: FederationConfig, population: int) -> int:
    """The (expected) number of clients that are asked, so that `federation.cohort` of them answer."""
    return federation.asked_size(population)


def wanted_answers(federation: FederationConfig, population: int) -> int:
    """With so many answers a round is closed; without over-selection all who are asked are waited for, however many a sampler draws."""
    return federation.cohort_size(population) if federation.over_selection else population


def sample_cohort(
    clients: NDArray[np.int64],
    eligible: Eligible,
    federation: FederationConfig,
    seed: int,
    period: int,
    round: int,
    purpose: str = "cohort",
) -> NDArray[np.int64]:
    """Client numbers of the cohort, ascending. `clients` [n] is the population, ascending. `purpose`: cohorts of one round for different ones are
    drawn independently.

    `uniform`: a fixed size without replacement among the eligible (all of them if they are fewer). `poisson`: each
    eligible client independently, with probability asked / population.
    """
    rng = numpy_generator(seed, purpose, period=period, round=round)
    size = asked_size(federation, len(clients))
    if federation.sampler == "poisson":
        # Independent draws of everybody: their number is binomial and, given it, every set is as likely.
        count = rng.binomial(len(clients), size / len(clients))
        drawn = clients[np.sort(rng.choice(len(clients), count, replace=False, shuffle=False))]
        return drawn[eligible(drawn)]
    return _uniform(clients, eligible, size, rng)


def _uniform(clients: NDArray[np.int64], eligible: Eligible, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draws with replacement and passes over who was drawn before or may not be asked: whoever is next is uniform among the rest."""
    chosen = np.empty(0, dtype=np.int64)
    looked_at = 0
    while missing := size - len(chosen):
        looked_at += missing
        if looked_at > len(clients) // _DRAWS_PER_SCAN:
            rest = np.setdiff1d(clients[eligible(clients)], chosen, assume_unique=True)
            chosen = np.concatenate((chosen, rng.choice(rest, min(missing, len(rest)), replace=False)))
            break
        drawn = np.setdiff1d(clients[rng.integers(len(clients), size=missing)], chosen)
        chosen = np.concatenate((chosen, drawn[eligible(drawn)]))
    return np.sort(chosen)
