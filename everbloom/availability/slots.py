"""Presence drawn anew, for each device on its own, in every slot of time."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.availability.presence import DAY, Presence
from everbloom.seeding import uniforms

_SEARCHED = 366 * DAY


@dataclass(frozen=True)
class Slots(Presence):
    """A device is there in a slot of `length` seconds with probability `low` + (`high` - `low`) (1 + cos(2 pi (local time - `peak`) / day)) / 2,
    where its clock is ahead by a whole number of hours below `zones`, the same in every slot.
    """

    seed: int
    length: int
    low: float
    high: float
    peak: float = 0.0
    """Seconds after midnight, by a device's own clock."""
    zones: int = 1

    def there(self, clients: NDArray[np.int64], at: float) -> NDArray[np.bool_]:
        """See `Presence`."""
        slot = math.floor(at / self.length)
        draws: NDArray[np.float64] = uniforms(self.seed, "availability", clients, 1, round=slot)[:, 0]
        found = draws < self.high
        if self.low < self.high:  # the curve is needed only for those whom some hour would find
            maybe = np.flatnonzero(found)
            found[maybe] = draws[maybe] < self.probability(clients[maybe], slot)
        return found

    def probability(self, clients: NDArray[np.int64], slot: int) -> NDArray[np.float64] | float:
        """[clients], or one for all: the curve at the middle of the slot."""
        local = (slot + 0.5) * self.length + 3600.0 * np.arange(self.zones)
        curve: NDArray[np.float64] = (1 + np.cos(2 * np.pi * (local - self.peak) / DAY)) / 2
        by_zone = self.low + (self.high - self.low) * curve
        return by_zone[self.zone(clients)] if self.zones > 1 else float(by_zone[0])

    def zone(self, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """[clients] hours that a device's clock is ahead."""
        return (uniforms(self.seed, "time-zone", clients, 1)[:, 0] * self.zones).astype(np.int64)

    def next_time(self, clients: NDArray[np.int64], at: float) -> float:
        """See `Presence`; looks ahead for a year."""
        slot, last = math.floor(at / self.length), math.floor((at + _SEARCHED) / self.length)
        while not self.there(clients, at).any():
            slot += 1
            at = float(slot * self.length)
            if slot > last:
                return math.inf
        return at
