"""What a data set looks like, in a few numbers."""

from dataclasses import dataclass

import numpy as np

from everbloom.data.prepare import Dataset

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Statistics:
    """`density`: share of all (user, item) pairs that occur. `first`, `last`: None without timestamps.

    `events_per_user` and `events_per_item`: quantile -> events.
    """

    users: int
    items: int
    events: int
    behaviours: dict[str, int]
    density: float
    first: np.datetime64 | None
    last: np.datetime64 | None
    events_per_user: dict[float, float]
    events_per_item: dict[float, float]


def describe(dataset: Dataset) -> Statistics:
    """The statistics of a prepared data set."""
    log, items = dataset.events, len(dataset.catalog)
    with_item = log.item >= 0
    pairs = np.unique(log.user[with_item].astype(np.int64) * items + log.item[with_item])
    span = (
        [np.datetime64(int(time), "s") for time in (log.time.min(), log.time.max())] if log.has_time else [None, None]
    )
    return Statistics(
        users=log.users,
        items=items,
        events=len(log),
        behaviours=dataset.report.behaviours,
        density=len(pairs) / (log.users * items) if items else 0.0,
        first=span[0],
        last=span[1],
        events_per_user=_quantiles(np.diff(log.offsets)),
        events_per_item=_quantiles(np.bincount(log.item[with_item], minlength=items)),
    )


def _quantiles(counts: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> dict[float, float]:
    if not len(counts):
        return {}
    return dict(zip(_QUANTILES, np.quantile(counts, _QUANTILES).tolist(), strict=True))
