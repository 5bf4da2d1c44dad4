"""A study whose log grows: what devices hold after some steps, and the federation's next period on it.

Each step has a `Study` of its own, cut off at the present: period 0 is the warm start, period p what was clicked in step p. All of them have one
privacy plan, that of the whole loop, and the federation's state goes from one to the next, what devices have spent included.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import BEHAVIOURS, EventLog
from everbloom.data.timeline import Split, Timeline, TrainingWindow
from everbloom.privacy.course import Course
from everbloom.study import Study

STEP_SECONDS = 86_400
"""A step takes a day; the log's own time goes on from the end of the warm start."""


@dataclass(frozen=True)
class LoopStudy(Study):
    """A study up to the present, whose plan is that of the whole loop."""

    whole: Course = field(kw_only=True)

    @property
    def course(self) -> Course:
        """See `Study`."""
        return self.whole

    @property
    def rounds(self) -> int:
        """See `Study`; of the whole loop."""
        return self.whole.rounds


class LoopTimeline(Timeline):
    """The warm start as the experiment has it, then a period a step, learnt whole. Nothing after the warm start validates or tests: the loop measures
    against tastes, not against clicks on its own lists."""

    def window(self, period: int) -> TrainingWindow:
        """See `Timeline`."""
        if period == 0:
            return super().window(0)
        return TrainingWindow(int(self.boundaries[period]), int(self.boundaries[period + 1]))

    def has(self, period: int, split: Split) -> bool:
        """See `Timeline`."""
        return period == 0 and super().has(period, split)


@dataclass(frozen=True, eq=False)
class Clicks:
    """[clicks] each: who clicked which item at which rank (from 0)."""

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    rank: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)


class Growth:
    """The studies of a loop's steps. `start`: end of the warm start, in the log's time; no later event of the data set is in any of them. `later`:
    the experiment of all periods but the warm start."""

    def __init__(self, whole: Study, steps: int, step_rounds: int) -> None:
        """`whole`: the experiment on all of its data."""
        self._whole = whole
        first, self.start = (int(time) for time in whole.timeline.boundaries[:2])
        self._cuts = np.append(first, self.start + STEP_SECONDS * np.arange(steps))
        federation = whole.experiment.federation
        self.later = whole.experiment.model_copy(
            update={"federation": federation.model_copy(update={"rounds": step_rounds})}
        )
        rounds = whole.experiment.rounds(0) + (steps - 1) * self.later.rounds(1)
        self.course = Course.of(federation, rounds, steps, whole.clients)

    def warm_start(self) -> LoopStudy:
        """Before the first step."""
        return self._study(0, _before(self._whole.dataset.events, self.start))

    def after(self, period: int, log: EventLog, clicks: Clicks) -> LoopStudy:
        """Once the clicks of step `period` (from 1) are in the `log` so far."""
        moment = self.start + STEP_SECONDS * (period - 1)
        return self._study(period, _with_clicks(log, clicks, moment))

    def _study(self, period: int, log: EventLog) -> LoopStudy:
        whole = self._whole
        experiment = whole.experiment if period == 0 else self.later
        timeline = LoopTimeline(
            log, whole.dataset.catalog, experiment.data, experiment.protocol, self._cuts[: period + 2]
        )
        return LoopStudy(
            experiment,
            replace(whole.dataset, events=log),
            timeline,
            whole.features,
            whole.texts,
            whole.told,
            whole=self.course,
        )


def _before(log: EventLog, time: int) -> EventLog:
    """Everybody's events before `time`; all users stay, some without events."""
    row = np.sort(log.by_time[: log.earlier(time)])
    return _rebuilt(log, log.user[row], log.item[row], log.time[row], log.behaviour[row], log.value[row])


def _with_clicks(log: EventLog, clicks: Clicks, moment: int) -> EventLog:
    """The log and its clicks, a second apart from rank to rank."""
    count = len(clicks)
    return _rebuilt(
        log,
        np.append(log.user, clicks.user.astype(np.int32)),
        np.append(log.item, clicks.item),
        np.append(log.time, moment + clicks.rank),
        np.append(log.behaviour, np.full(count, BEHAVIOURS.index("click"), dtype=np.uint8)),
        np.append(log.value, np.ones(count, dtype=np.float32)),
    )


def _rebuilt(
    log: EventLog,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    behaviour: NDArray[np.uint8],
    value: NDArray[np.float32],
) -> EventLog:
    """Texts of searches are left out: no device learns from them."""
    built = EventLog.build(user=user, item=item, time=time, behaviour=behaviour, value=value, user_ids=log.user_ids)
    return replace(built, has_time=log.has_time)
