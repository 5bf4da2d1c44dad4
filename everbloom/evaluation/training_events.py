"""Which events could have been learnt from when something is measured: the basis of popularity and of baselines."""

import numpy as np
from numpy.typing import NDArray

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
    window = timeline.window(period)
    log = timeline.log
    positives = np.flatnonzero((timeline.weight > 0) & (log.time < window.end))
    if window.held_out == 0:
        return positives
    bounds = np.searchsorted(positives, log.offsets)
    count = np.diff(bounds)
    learnt = np.where(count > window.held_out, count - window.held_out, count)
    place = np.arange(len(positives)) - np.repeat(bounds[:-1], count)
    return positives[place < np.repeat(learnt, count)]


def item_counts(timeline: Timeline, period: int) -> NDArray[np.int64]:
    """[items] number of training positives of each item in periods 0..period."""
    return np.bincount(timeline.log.item[training_rows(timeline, period)], minlength=len(timeline.catalog))
