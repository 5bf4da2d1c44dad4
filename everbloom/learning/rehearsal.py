"""Which old events devices rehearse in a round: a weighted draw without replacement on each device, for many of them at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.continual.replay import Replay
from everbloom.data.events import NO_ITEM, Histories
from everbloom.data.timeline import TrainingWindow
from everbloom.learning.examples import Examples, build_examples
from everbloom.seeding import PublicDraws, uniforms_from


def rehearsed(
    replay: Replay,
    events: Histories,
    weight: NDArray[np.float32],
    window: TrainingWindow,
    keys: NDArray[np.uint64],
    losses: Callable[[], NDArray[np.float32]],
) -> NDArray[np.bool_]:
    """[events] the old events that are targets in this round.

    `weight` [events] of each event as a target; `keys` [users] of each device's own draws, which no server may know; `losses` gives those of all old
    events [old, in order] and is called only if the choice depends on them. An event's key is -log(u) / weight, and a device takes the smallest.
    """
    old = _old(events, weight, window)
    owner = np.repeat(np.arange(events.users), np.diff(events.offsets))[old]
    place = old - events.offsets[owner]
    u = uniforms_from(keys[owner], 1, skip=place)[:, 0]
    chances = replay.weights(window.start - events.time[old], losses() if replay.choice == "surprise" else None)
    order = np.lexsort((-np.log1p(-u) / chances, owner))
    first = np.searchsorted(owner, np.arange(events.users))
    most = replay.most(_new(events, weight, window))
    # Owner is ascending, so sorting by it leaves it in place.
    taken = order[np.arange(len(old)) - first[owner] < most[owner]]
    chosen = np.zeros(len(events), dtype=np.bool_)
    chosen[old[taken]] = True
    return chosen


def old_examples(
    events: Histories,
    weight: NDArray[np.float32],
    window: TrainingWindow,
    learning: LearningConfig,
    length: int,
    draws: PublicDraws,
) -> tuple[Examples, NDArray[np.int64]]:
    """One example for each old event, in order, with what came before it; and how many each user has."""
    each = learning.model_copy(update={"examples": "next-item", "max_examples": None})
    past = TrainingWindow(start=np.iinfo(np.int64).min, end=window.start)
    return build_examples(events, weight, past, each, length, disjoint=False, draws=draws)


def _new(events: Histories, weight: NDArray[np.float32], window: TrainingWindow) -> NDArray[np.int64]:
    """[users] targets of the window itself."""
    _, first, end = window.rows(events, weight)
    real = np.concatenate(([0], np.cumsum((weight > 0) & (events.item != NO_ITEM))))
    return real[end] - real[first]


def _old(events: Histories, weight: NDArray[np.float32], window: TrainingWindow) -> NDArray[np.int64]:
    """Rows of the targets of earlier periods, ascending."""
    return np.flatnonzero((weight > 0) & (events.item != NO_ITEM) & (events.time < window.start))
