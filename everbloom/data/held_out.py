"""Which of its own events somebody is measured on: small enough to travel, so that a device finds its case as the evaluator does."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import LastPositive, Measurement, NewInTime, Weights
from everbloom.data.events import EventLog


@dataclass(frozen=True)
class HeldOut:
    """`place` 0: what is met for the first time in [start, end), with `repeats` also what is met again; the history is what came before `start`.
    Else the `place`-th positive from the end, after all that came before it.
    """

    start: int
    end: int
    place: int = 0
    repeats: bool = False

    def measurement(self, log: EventLog, weights: Weights, first_seen: NDArray[np.int64]) -> Measurement:
        """Its cases in a log. `first_seen` [items] of the catalogue: what is first seen from `end` on cannot be recommended."""
        if self.place:
            return LastPositive(log, weights, len(first_seen), self.place, self.end)
        return NewInTime(log, weights, self.start, self.end, np.asarray(first_seen < self.end), self.repeats)
