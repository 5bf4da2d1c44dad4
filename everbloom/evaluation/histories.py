"""What is known of each case's user: the ragged histories of many cases as flat arrays."""

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.data.ranges import flat_ranges


def history_items(
    cases: Cases, log: EventLog, positions: NDArray[np.int64], recent: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(owner [events], item [events]) of the histories of the cases at `positions`, oldest first.

    Owner is an index into `positions`.

    `recent`: only each history's last so many events are read. Events without an item (searches) are left out.
    """
    start, end = cases.history_start[positions], cases.history_end[positions]
    if recent is not None:
        start = np.maximum(start, end - recent)
    owner, row = flat_ranges(start, end)
    item = log.item[row].astype(np.int64)
    real = item != NO_ITEM
    return owner[real], item[real]


def case_targets(cases: Cases, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(owner [targets], item [targets]) of the cases at `positions`; owner is an index into `positions`."""
    owner, place = flat_ranges(cases.target_offsets[positions], cases.target_offsets[positions + 1])
    return owner, cases.targets[place].astype(np.int64)
