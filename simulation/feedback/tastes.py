"""What people truly like, which the loop never learns from: it decides what they click, and what lists are worth."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everbloom.config import FeedbackConfig
from everbloom.data.ranges import flat_ranges
from everbloom.data.sources.synthetic import Synthetic
from everbloom.data.sources.truth import Truth, truth
from everbloom.data.strings import StringColumn
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.feedback.attraction import attraction_of_choice
from everbloom.study import Study


class Tastes(Protocol):
    """The tastes of some of the people."""

    @property
    def users(self) -> NDArray[np.int64]:
        """Client numbers, ascending, of those whose taste is known: nobody else is shown anything."""
        ...

    def attraction(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """[places, items] P(click | looked at) of the users at these places in `users`; 0 for what is not available."""
        ...


def open_tastes(study: Study, start: int, feedback: FeedbackConfig) -> Tastes:
    """Tastes from `start` on (a time of the log): the generator's own for a synthetic source, else what the rest of the log tells.

    Raises `DataError` if nobody's taste is known.
    """
    source, dataset = study.experiment.data.source, study.dataset
    available = np.asarray(dataset.catalog.first_seen < start)
    if isinstance(source, Synthetic):
        users, items = _numbers(dataset.events.user_ids), _numbers(dataset.catalog.item_ids)
        return GeneratedTastes.of(truth(source), users, items, start, available, feedback.outside)
    return HeldOutTastes.of(study.timeline, start, available, feedback.base_rate)


@dataclass(frozen=True, eq=False)
class GeneratedTastes:
    """The choice probabilities that a synthetic population follows when the loop begins; they stay as they are while it runs, so that what changes is
    the loop's doing. `numbers` [users]: the source's. `items` [items]: each item's number in the source."""

    truth: Truth
    step: int
    users: NDArray[np.int64]
    numbers: NDArray[np.int64]
    items: NDArray[np.int64]
    available: NDArray[np.bool_]
    outside: float

    @classmethod
    def of(
        cls,
        known: Truth,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        start: int,
        available: NDArray[np.bool_],
        outside: float,
    ) -> "GeneratedTastes":
        """Of everybody who had joined by the step of the source that `start` falls in."""
        step = int(known.step_at(np.array([start]))[0])
        there = np.flatnonzero(known.joined[users] <= step)
        return cls(known, step, there, users[there], items, available, outside)

    def attraction(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Tastes`."""
        chosen = self.truth.choice(self.step, self.numbers[places])[:, self.items]
        return attraction_of_choice(chosen, self.available, self.outside)


@dataclass(frozen=True, eq=False)
class HeldOutTastes:
    """What people really meet in the rest of the log, which the loop is not given: these items attract for certain, all others at `base_rate`.

    The liked items of `users[p]` are `liked[offsets[p]:offsets[p + 1]]`. What somebody would have liked but never met counts as not liked, so utility
    is a lower bound (Schnabel et al., "Recommendations as treatments", ICML 2016, on what logs leave out).
    """

    users: NDArray[np.int64]
    liked: NDArray[np.int64]
    offsets: NDArray[np.int64]
    available: NDArray[np.bool_]
    base_rate: float

    @classmethod
    def of(cls, timeline: Timeline, start: int, available: NDArray[np.bool_], base_rate: float) -> "HeldOutTastes":
        """Of everybody with a positive from `start` on among the `available` items. Raises `DataError` if there is nobody."""
        log, items = timeline.log, len(available)
        row = np.asarray(log.by_time[log.earlier(start) :])
        row = row[timeline.weights(row) > 0]
        row = row[available[log.item[row]]]
        if not len(row):
            raise DataError(
                "protocol.warm_start: after the warm start nobody meets an item that was there before, so no taste is known; make it shorter"
            )
        pairs = np.unique(log.user[row].astype(np.int64) * items + log.item[row])
        owner, liked = np.divmod(pairs, items)
        users, first = np.unique(owner, return_index=True)
        return cls(users, liked, np.append(first, len(owner)), available, base_rate)

    def attraction(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Tastes`."""
        owner, place = flat_ranges(self.offsets[places], self.offsets[places + 1])
        attraction = np.where(self.available, self.base_rate, 0.0) * np.ones((len(places), 1))
        attraction[owner, self.liked[place]] = 1.0
        return attraction


def _numbers(column: StringColumn) -> NDArray[np.int64]:
    """[rows] the numbers that a synthetic source has for ids."""
    return np.fromiter(map(int, column), dtype=np.int64, count=len(column))
