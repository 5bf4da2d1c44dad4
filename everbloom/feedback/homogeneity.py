"""How alike the lists of different people are."""

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import NO_ITEM


def homogeneity(items: NDArray[np.int32], rng: np.random.Generator, pairs: int = 5000) -> float:
    """Mean Jaccard index of the lists [users, n] of random pairs of different users; 0 with fewer than two.

    Chaney, Stewart & Engelhardt ("How algorithmic confounding in recommendation systems increases homogeneity and decreases utility", RecSys 2018)
    measure homogenisation by the Jaccard index of users' item sets; here of what is shown, over pairs drawn uniformly.
    """
    users = len(items)
    if users < 2:
        return 0.0
    one = rng.integers(users, size=pairs)
    other = (one + rng.integers(1, users, size=pairs)) % users
    left, right = items[one], items[other]
    there = left != NO_ITEM
    common = ((left[:, :, None] == right[:, None, :]).any(axis=2) & there).sum(axis=1)
    together = there.sum(axis=1) + (right != NO_ITEM).sum(axis=1) - common
    return float((common / np.maximum(together, 1)).mean())
