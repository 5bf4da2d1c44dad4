"""The loop: show, click, learn, again.

Every way of making lists has a loop of its own from the same warm start, with the same people and the same draws. In the control, people come across
random items and look at all of them: what its model becomes is due to what people like, and what the others' become beyond that is the loop's doing.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.config import FeedbackConfig
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.seeding import PublicDraws, numpy_generator
from everbloom.study import Study
from server.federation import Federation, initial_state
from server.observer import Observer
from server.run_directory import RunDirectory
from server.state import FederationState
from simulation.feedback.arms import Arm
from simulation.feedback.growth import Clicks, Growth, LoopStudy
from simulation.feedback.measures import Meter
from simulation.feedback.showing import Showing, Shown
from simulation.feedback.tastes import Tastes
from simulation.memory import PeakMemory
from simulation.population.grid import simulated_grid
from simulation.workers import masked_answers, open_ledger, serial_answers

Record = dict[str, float | None]
"""Of a step: `step`, `users` who were shown a list, `clicks`, `epsilon` spent so far by any device (None without privacy), and the measures."""


@dataclass(frozen=True, eq=False)
class Loop:
    """The loops of one seed. `whole`: the experiment on all of its data; `folder`: where run directories go."""

    whole: Study
    feedback: FeedbackConfig
    tastes: Tastes
    growth: Growth
    folder: Path
    observer: Observer

    def warm_start(self) -> tuple[LoopStudy, FederationState]:
        """Period 0, learnt as in any run: the study and the state that all loops go on from."""
        study = self.growth.warm_start()
        run = RunDirectory.create(self.folder / "warm-start", study.experiment)
        return study, train(study, run, initial_state(study), self.observer)

    def run(self, arm: Arm, study: LoopStudy, state: FederationState) -> Iterator[Record]:
        """One loop after the warm start, whose study and state are left as they are: the record of each step as it is done."""
        state = copy.deepcopy(state)
        available = np.asarray(study.dataset.catalog.first_seen < self.growth.start)
        showing = Showing(self.tastes, available, arm.exploration, self.feedback.top_n, self.feedback.repeats)
        meter = Meter(available, _counts(study.dataset.events, len(available)))
        run = RunDirectory.create(self.folder / arm.label, self.growth.later)
        for step in range(1, self.feedback.steps + 1):
            shown, clicked, record = self._step(arm, showing, meter, study, state, step)
            _log(run.path / "exposure", step, shown, clicked)
            yield record
            if step < self.feedback.steps:
                study = self.growth.after(step, study.dataset.events, _clicks(shown, clicked))
                state.next_period()
                state = train(study, run, state, self.observer)

    def _step(
        self, arm: Arm, showing: Showing, meter: Meter, study: LoopStudy, state: FederationState, step: int
    ) -> tuple[Shown, NDArray[np.bool_], Record]:
        """Shows lists, lets people react, measures."""
        log, model = study.dataset.events, arm.user_model
        counts = _counts(log, len(study.dataset.catalog))
        places = self._active(step)
        draws = PublicDraws(study.experiment.seed, self.tastes.users[places], period=step, round=0)
        scorer = ModelScorer(study.new_model(), study.layout, state.parameters, log)
        shown = showing.show(scorer, log, counts, places, draws)
        chances = model.probabilities(shown.attraction)
        clicked = model.clicks(shown.attraction, draws.uniforms("feedback-reaction", 2 * self.feedback.top_n))
        pairs = numpy_generator(study.experiment.seed, "feedback-pairs", period=step)
        measured = meter.measure(shown, chances, clicked, counts, pairs)
        record = {"step": step, "users": len(places), "clicks": int(clicked.sum()), "epsilon": spent(study, state)}
        return shown, clicked, {**record, **measured}

    def _active(self, step: int) -> NDArray[np.int64]:
        """Places in `tastes.users`, ascending, of those who are shown a list in this step; at least one."""
        people = len(self.tastes.users)
        rng = numpy_generator(self.whole.experiment.seed, "feedback-active", period=step)
        return np.sort(rng.choice(people, max(1, round(self.feedback.active * people)), replace=False))


def train(study: Study, run: RunDirectory, state: FederationState, observer: Observer) -> FederationState:
    """The last period of the study, in this process; the state goes on from where it is."""
    ledger = open_ledger(run.path / "devices" / "participations.npy", state.participations)
    answers = (
        masked_answers(study, ledger) if study.experiment.runtime.masks else serial_answers(study, ledger, PeakMemory())
    )
    with answers as answer:
        grid = simulated_grid(study, answer)
        return Federation(study, run, grid, grid.client_nodes(), observer, state).run()


def spent(study: Study, state: FederationState) -> float | None:
    """The largest epsilon of any device so far; None without a plan."""
    if study.plan is None:
        return None
    most = int(state.participations.max(initial=0))
    return study.plan.spent(state.totals.charges if study.plan.charged == "round" else most)


def _log(folder: Path, step: int, shown: Shown, clicked: NDArray[np.bool_]) -> None:
    """What was shown to whom with which propensity, and what came of it: what off-policy estimates need."""
    folder.mkdir(exist_ok=True)
    lists = shown.lists
    np.savez_compressed(
        folder / f"{step:04d}.npz", user=shown.users, item=lists.items, propensity=lists.propensity, clicked=clicked
    )


def _counts(log: EventLog, items: int) -> NDArray[np.int64]:
    return np.bincount(log.item[log.item != NO_ITEM], minlength=items)


def _clicks(shown: Shown, clicked: NDArray[np.bool_]) -> Clicks:
    user, rank = np.nonzero(clicked)
    return Clicks(shown.users[user], shown.lists.items[user, rank], rank)
