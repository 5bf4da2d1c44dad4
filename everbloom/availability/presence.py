"""What an availability model becomes once it knows its population."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

DAY = 86400.0
"""Seconds."""


class Presence(ABC):
    """Who is there when. Times are seconds from midnight of the first day (a trace: from its own zero) and only grow; nothing here is random
    beyond the seed, so the same question has the same answer.
    """

    cycle: float = DAY
    """Seconds after which what is expected repeats."""

    @abstractmethod
    def there(self, clients: NDArray[np.int64], at: float) -> NDArray[np.bool_]:
        """[clients] who can be asked at time `at`; each answer depends on its own client alone."""

    @abstractmethod
    def next_time(self, clients: NDArray[np.int64], at: float) -> float:
        """The first time from `at` on when at least one of `clients` is there; infinite if that does not come."""

    def until(self, clients: NDArray[np.int64], at: float) -> NDArray[np.float64]:
        """[clients] when those who are there at `at` leave; infinite where the model does not say (that is `population.dropout` then)."""
        return np.full(len(clients), np.inf)

    def seconds_per_example(self, clients: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """[clients] how slow each device is, if the model knows; None leaves it to `population.speed`."""
        return None
