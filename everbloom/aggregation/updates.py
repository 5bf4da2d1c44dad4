"""A round's updates beside each other, a few columns at a time, and which of their rows a device has touched.

A table of items is touched in few rows by each device: those of its history and of its negatives. A median over everybody would be 0 in all rows
that most do not touch, and nothing would be learnt of most items. So what sorts coordinates does it by the row, among those who touched it; and,
where these are fewer than `floor`, with as many zeros of others. Times their number over that of all devices that is the ordinary rule wherever
everybody touches, and for the mean it is the mean everywhere. Who is wrong can choose to touch a row that few others touch; `floor` above twice their
number keeps the majority of each row out of their hands.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20
"""Numbers that are looked at at once, over all devices: 4 MB in float32."""


@dataclass(frozen=True, eq=False)
class Updates:
    """`deltas` [clients, params] float32, finite, at least one client. `rows` [rows] int64, ascending from 0: where in the parameters each row begins
    that is touched as a whole; default: all are one row."""

    deltas: NDArray[np.float32]
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.deltas)

    @property
    def parameters(self) -> int:
        """Numbers of one update."""
        return int(self.deltas.shape[1])

    def columns(self) -> Iterator[slice]:
        """All parameters in blocks, so that what a rule lays out beside the updates stays small."""
        step = max(1, _BLOCK // len(self))
        for start in range(0, self.parameters, step):
            yield slice(start, min(start + step, self.parameters))

    def ordered(self, floor: int) -> Iterator["Ordered"]:
        """All parameters in blocks, sorted over the devices that touched each row, and zeros of others where these are fewer than `floor`."""
        touched = self._touched()
        row = np.searchsorted(self.rows, np.arange(self.parameters), side="right") - 1
        for block in self.columns():
            there = touched[:, row[block]]
            count = np.maximum(there.sum(axis=0), min(floor, len(self)))
            zeros = ~there & (np.cumsum(~there, axis=0) <= count - there.sum(axis=0))
            values = np.where(there | zeros, self.deltas[:, block], np.float32(np.inf))
            values.sort(axis=0)
            yield Ordered(block, values, count, count / len(self))

    def _touched(self) -> NDArray[np.bool_]:
        """[clients, rows] whether any number of the row is not 0."""
        found: NDArray[np.bool_] = np.stack([np.logical_or.reduceat(delta != 0, self.rows) for delta in self.deltas])
        return found


@dataclass(frozen=True, eq=False)
class Ordered:
    """Some columns: `values` [clients, columns] ascending, of which the first `count` [columns] are real; `weight` [columns]: what these are of all
    devices, which the rule's result is multiplied with."""

    columns: slice
    values: NDArray[np.float32]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]

    def middle(self, cut: NDArray[np.int64]) -> NDArray[np.float64]:
        """[columns] the mean of what is left without the `cut` [columns] lowest and as many highest."""
        place = np.arange(len(self.values))[:, None]
        kept = (place >= cut) & (place < self.count - cut)
        left: NDArray[np.float64] = np.where(kept, self.values, 0).sum(axis=0, dtype=np.float64) / (
            self.count - 2 * cut
        )
        return left * self.weight


def norms(updates: Updates, centre: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """[clients] L2 distances from `centre` [params]; default: from 0."""
    squared = np.zeros(len(updates))
    for block in updates.columns():
        away = updates.deltas[:, block].astype(np.float64) - (0.0 if centre is None else centre[block])
        squared += np.einsum("cp,cp->c", away, away)
    return np.sqrt(squared)


def scaled_mean(updates: Updates, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[params] the mean over all clients of their updates times `factors` [clients]."""
    found = np.zeros(updates.parameters)
    for block in updates.columns():
        found[block] = factors @ updates.deltas[:, block].astype(np.float64)
    return found / len(updates)
