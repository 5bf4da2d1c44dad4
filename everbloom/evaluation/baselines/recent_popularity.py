"""The items that are popular when a list is asked for: counts that fade with time."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.data.timeline import FOREVER
from everbloom.errors import DataError
from everbloom.evaluation.past import Past
from everbloom.methods import Baseline

_DAY = 86_400.0


@dataclass(frozen=True, eq=False)
class RecentPopularity:
    """Training positives by time: `time` and `item` [positives]; `half_life` in seconds."""

    log: EventLog
    items: int
    time: NDArray[np.int64]
    item: NDArray[np.int64]
    half_life: float

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32; rows are alike for cases that are asked at the same time."""
        moments, which = np.unique(self._asked(cases, positions), return_inverse=True)
        counts = np.zeros((len(moments), self.items), dtype=np.float32)
        faded, before, place = np.zeros(self.items), moments[:1].sum(), 0
        for row, moment in enumerate(moments):
            end = int(np.searchsorted(self.time, moment, side="right"))
            age = (moment - self.time[place:end]) / self.half_life
            faded *= 0.5 ** ((moment - before) / self.half_life)
            faded += np.bincount(self.item[place:end], weights=0.5**age, minlength=self.items)
            counts[row], before, place = faded, moment, end
        return torch.from_numpy(counts)[torch.from_numpy(which)]

    def _asked(self, cases: Cases, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """[len(positions)] when each list is asked for: as the tested period begins, or (leave-one-out, which has no periods) at the user's last
        known event, so that what others did later does not count."""
        if cases.period_start != FOREVER:
            return np.full(len(positions), cases.period_start, dtype=np.int64)
        start, end = cases.history_start[positions], cases.history_end[positions]
        last = self.time[-1] if len(self.time) else 0
        return np.where(end > start, self.log.time[np.maximum(end - 1, 0)], last)


class RecentPopularityBaseline(Baseline):
    """Centralised reference, reads everybody's events: the sum over an item's training positives of 2^(-age / half-life), the age when the list is
    asked for (after DecayPop of Ji et al., "A re-visit of the popularity baseline in recommender systems", SIGIR 2020, with a continuous decay
    in place of months)."""

    name: Literal["recent-popularity"] = "recent-popularity"
    half_life_days: PositiveFloat = 30.0
    """After so many days an event counts half."""
    reads: ClassVar[str] = "everybody"

    def unfit(self, past: Past) -> str | None:
        """Without timestamps nothing is recent."""
        if not past.timeline.log.has_time:
            return "recent-popularity: needs timestamps, and this log has only an order; leave it out with --only"
        return None

    def fit(self, past: Past) -> RecentPopularity:
        """See `Baseline`."""
        if (reason := self.unfit(past)) is not None:
            raise DataError(reason)
        log = past.timeline.log
        rows = past.rows[np.argsort(log.time[past.rows], kind="stable")]
        half_life = self.half_life_days * _DAY
        return RecentPopularity(log, past.items, log.time[rows], log.item[rows].astype(np.int64), half_life)
