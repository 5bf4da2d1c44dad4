"""Intervals that are to hold for other people, not only for other seeds: the bootstrap over users.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993; for rankings: Sakai, "Evaluating evaluation metrics based on the bootstrap", 2006.
Users are drawn anew with replacement, and all that was measured of one (every period, every seed, every method) is drawn together: so what makes a
user easy falls out of a paired difference, and what a user's periods have in common is not mistaken for independent evidence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_AT_ONCE = 20_000_000
"""Draws of users that are held in memory together."""


def resampled_users(users: int, resamples: int, generator: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """[some, users] how often each user is drawn, `resamples` rows in all: multinomial, `users` draws with replacement."""
    chances = np.full(users, 1 / users)
    step = max(1, _AT_ONCE // users)
    for done in range(0, resamples, step):
        yield generator.multinomial(users, chances, size=min(step, resamples - done)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class MeansOverUsers:
    """Means over users of several measurements at once, of which each is of some of the users.

    `values`, `there` [users, measurements] sparse: what the measurement gave the user, and 1 where it was of that user.
    """

    values: csr_array
    there: csr_array

    @classmethod
    def of(cls, measured: Mapping[int, tuple[NDArray[np.int32], NDArray[np.float32]]], users: int) -> "MeansOverUsers":
        """`measured`: number of the measurement, from 0 on -> (users [cases], values [cases])."""
        user = np.concatenate([who for who, _ in measured.values()]).astype(np.int64)
        values = np.concatenate([value for _, value in measured.values()]).astype(np.float64)
        column = np.concatenate([np.full(len(who), number) for number, (who, _) in measured.items()])
        shape = (users, max(measured) + 1)
        return cls(
            csr_array((values, (user, column)), shape=shape),
            csr_array((np.ones(len(user)), (user, column)), shape=shape),
        )

    def weighted(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """[resamples, measurements] the means where each user counts `weights` [resamples, users] times; NaN where nobody is left."""
        total = (self.values.T @ weights.T).T
        count = (self.there.T @ weights.T).T
        means: NDArray[np.float64] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return means
