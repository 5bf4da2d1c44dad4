"""Which events could have been learnt from when something is measured: the basis of popularity and of baselines."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import user_blocks
from everbloom.data.timeline import Split, Timeline


def trained_period(timeline: Timeline, period: int, split: Split) -> int:
    """The last period whose training window precedes a measurement.

    A period is tested before it is trained on, except in leave-one-out.
    """
    return period - 1 if split == "test" and timeline.protocol.name == "timeline" else period


def training_rows(timeline: Timeline, period: int) -> NDArray[np.int64]:
    """[positives] rows of the log that are learning targets in periods 0..period, by user and time.

    For all users at once what `TrainingWindow.rows` says for one.
    """
    return np.concatenate(list(_blocks(timeline, period)))


def item_counts(timeline: Timeline, period: int) -> NDArray[np.int64]:
    """[items] number of training positives of each item in periods 0..period; without a list of them."""
    counts = np.zeros(len(timeline.catalog), dtype=np.int64)
    for rows in _blocks(timeline, period):
        counts += np.bincount(timeline.log.item[rows], minlength=len(counts))
    return counts


def _blocks(timeline: Timeline, period: int) -> Iterator[NDArray[np.int64]]:
    """The training rows, some users after the other."""
    window, log = timeline.window(period), timeline.log
    for users in user_blocks(log):
        offsets = log.offsets[users[0] : users[-1] + 2]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        positives = rows.start + np.flatnonzero((timeline.weights(rows) > 0) & (log.time[rows] < window.end))
        if window.held_out:
            bounds = np.searchsorted(positives, offsets)
            count = np.diff(bounds)
            learnt = np.where(count > window.held_out, count - window.held_out, count)
            place = np.arange(len(positives)) - np.repeat(bounds[:-1], count)
            positives = positives[place < np.repeat(learnt, count)]
        yield positives
