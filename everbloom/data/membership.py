"""Who takes part in a federation that lasts: who has joined, who has left and taken the data along, and who only serves to measure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import EventLog
from everbloom.seeding import uniforms

NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Membership:
    """`joins` [users] int32: the period of a user's first event; `leaves` [users] int32: from which period on the data are deleted (`NEVER`); `panel`
    [users] bool: who never trains, so that what a model remembers is not measured on what it was taught."""

    joins: NDArray[np.int32]
    leaves: NDArray[np.int32]
    panel: NDArray[np.bool_]

    @classmethod
    def of(
        cls, log: EventLog, boundaries: NDArray[np.int64], panel: float, deletion_rate: float, seed: int
    ) -> "Membership":
        """`boundaries` [periods + 1] times. The panel is a seeded share of the users; in each period after the first, each user who joined before it
        and is still there leaves with probability `deletion_rate`."""
        users = np.arange(log.users)
        known = log.offsets[:-1] < log.offsets[1:]
        first = np.where(known, log.time[np.where(known, log.offsets[:-1], 0)], np.iinfo(np.int64).max)
        joins = np.clip(np.searchsorted(boundaries, first, side="right") - 1, 0, None).astype(np.int32)
        leaves = np.full(log.users, NEVER, dtype=np.int32)
        if deletion_rate:
            # Periods until the first success of a coin thrown once a period.
            draw = 1 - uniforms(seed, "deletion", users, 1)[:, 0]
            waits = np.floor(np.log(draw) / np.log1p(-deletion_rate))
            leaves = np.minimum(joins + 1.0 + waits, NEVER).astype(np.int32)
        return cls(joins, leaves, _lowest(uniforms(seed, "panel", users, 1)[:, 0], round(panel * log.users)))

    @property
    def trainers(self) -> NDArray[np.int64]:
        """Users outside the panel, ascending."""
        return np.flatnonzero(~self.panel)

    @property
    def loses_users(self) -> bool:
        """Whether anybody ever deletes the data."""
        return bool((self.leaves < NEVER).any())

    def there(self, users: NDArray[np.int64], period: int) -> NDArray[np.bool_]:
        """[users] who has events in a period or before it, and has not deleted them."""
        found: NDArray[np.bool_] = (self.joins[users] <= period) & (self.leaves[users] > period)
        return found


def _lowest(values: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    chosen = np.zeros(len(values), dtype=np.bool_)
    chosen[np.argsort(values, kind="stable")[:count]] = True
    return chosen
