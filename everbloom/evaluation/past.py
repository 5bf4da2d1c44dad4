"""What there was before a measurement, for recommenders that are fitted to it at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.data.timeline import Timeline
from everbloom.evaluation.histories import history_items
from everbloom.evaluation.training_events import training_rows


@dataclass(frozen=True, eq=False)
class Past:
    """The training positives of periods 0..`period`, and `features` [items, width] of the items' contents where the experiment has them."""

    timeline: Timeline
    period: int
    features: NDArray[np.float32] | None = None

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return len(self.timeline.catalog)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """[positives] rows of the log, by user and time."""
        return training_rows(self.timeline, self.period)

    def interactions(self) -> csr_array:
        """[users, items] float32: 1 where a user has an item among the training positives, however often."""
        log = self.timeline.log
        return binary(log.user[self.rows], log.item[self.rows], (log.users, self.items))


def histories(cases: Cases, log: EventLog, positions: NDArray[np.int64], items: int) -> csr_array:
    """[len(positions), items] float32: 1 for each item among the events that are known of a case's user, whatever was done with it."""
    owner, item = history_items(cases, log, positions)
    return binary(owner, item, (len(positions), items))


def binary(row: NDArray[np.integer], column: NDArray[np.integer], shape: tuple[int, int]) -> csr_array:
    """A float32 matrix of 1 at the places given, however often each is given."""
    pair = np.unique(row.astype(np.int64) * shape[1] + column)
    rows, columns = np.divmod(pair, shape[1])
    return csr_array((np.ones(len(pair), dtype=np.float32), (rows, columns)), shape=shape)
