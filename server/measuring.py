"""Central measurements of a federation: on validation, on a new period before it is learnt, and on past periods after it."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from everbloom.data.candidates import load_candidates
from everbloom.data.timeline import Split
from everbloom.evaluation.baselines.popularity import Popularity
from everbloom.evaluation.evaluator import EachCase, Evaluator, Scorer
from everbloom.evaluation.records import Record
from everbloom.evaluation.training_events import trained_period
from everbloom.study import Study
from server.observer import Observer
from server.per_user import PerUser, after_period, before_period
from server.run_directory import RunDirectory

MODEL = "federated"


def evaluator_of(study: Study) -> Evaluator:
    """The evaluator of an experiment, with its stored candidates if it names any."""
    evaluation = study.experiment.evaluation
    stored = None
    if evaluation.candidates is not None:
        stored = load_candidates(study.dataset, study.experiment.data, evaluation.candidates)
    return Evaluator(
        study.timeline, evaluation, candidates=stored, seed=study.experiment.seed, membership=study.membership
    )


def check_measurements(study: Study) -> None:
    """Raises `InputError`, before any work, if a period could not be measured as the experiment asks."""
    evaluator = evaluator_of(study)
    splits: tuple[Split, ...] = ("validation", "test")
    for period in range(study.timeline.periods):
        for split in splits:
            if study.timeline.has(period, split):
                study.timeline.check(period, split)
        if study.membership is not None and study.timeline.has(period, "test"):
            evaluator.measured(period, "test", now=period)
            if study.membership.panel.any():
                evaluator.measured(period, "test", now=study.timeline.periods - 1, part="panel")


class Measuring:
    """Measures scorers, writes the records and tells the observer."""

    def __init__(self, study: Study, run: RunDirectory, observer: Observer) -> None:
        self.study = study
        self.run = run
        self.observer = observer
        self.evaluator = evaluator_of(study)

    def validate(self, scorer: Scorer, period: int, round: int) -> float:
        """A round's model on its period's validation: the measure that selects."""
        records = self._measure(scorer, "validation", period, now=period, round=round)
        return self._selected(records)

    def consider(self, scorer: Scorer, period: int) -> float:
        """The same of a model that is only considered: nothing is recorded."""
        return self._selected(
            self.evaluator.measure(
                scorer, model=MODEL, period=period, round=0, split="validation", subset=True, now=period
            )
        )

    def validate_baseline(self, period: int) -> None:
        """Popularity on a period's validation."""
        self._baseline("validation", period)

    def test(self, scorer: Scorer, period: int, round: int) -> list[Record]:
        """The model and the baseline on a period's test: before the period is learnt, except under leave-one-out. Returns those over all users."""
        if self.study.membership is None:
            records = self._measure(scorer, "test", period, now=period, round=round)
        else:
            people, last = self._per_user(), period - 1
            each = partial(people.add, period)
            records = self._measure(scorer, "test", period, now=period, round=round, after=last, each=each)
            if self._panel is not None:
                self._remember(scorer, period, now=period, round=round, after=last)
            people.write(self.run, before_period(period))
        records += self._baseline("test", period)
        return [record for record in records if record["slice"] == "all"]

    def remember(self, scorer: Scorer, after: int, round: int) -> None:
        """The model at the end of period `after` on every period so far: a row of the forgetting matrix."""
        people = self._per_user()
        for period in range(1, after + 1):
            each = partial(people.add, period)
            self._remember(scorer, period, now=after, round=round, after=after, each=each)
        if after:
            people.write(self.run, after_period(after))

    @property
    def _panel(self) -> NDArray[np.bool_] | None:
        """[users] who is in the panel; None where there is none."""
        membership = self.study.membership
        return membership.panel if membership is not None and membership.panel.any() else None

    def _per_user(self) -> PerUser:
        return PerUser(self._panel)

    def _remember(
        self, scorer: Scorer, period: int, *, now: int, round: int, after: int, each: EachCase | None = None
    ) -> None:
        """On the panel; on everybody where there is none."""
        self._record(
            self.evaluator.measure(
                scorer,
                model=MODEL,
                period=period,
                round=round,
                split="test",
                now=now,
                after=after,
                part="all" if self._panel is None else "panel",
                each=each,
            )
        )

    def _baseline(self, split: Split, period: int) -> list[Record]:
        timeline = self.study.timeline
        popularity = Popularity.fit(timeline, trained_period(timeline, period, split))
        return self._measure(popularity, split, period, now=period, model="popularity")

    def _measure(
        self,
        scorer: Scorer,
        split: Split,
        period: int,
        *,
        now: int,
        round: int = 0,
        after: int | None = None,
        model: str = MODEL,
        each: EachCase | None = None,
    ) -> list[Record]:
        return self._record(
            self.evaluator.measure(
                scorer,
                model=model,
                period=period,
                round=round,
                split=split,
                subset=split == "validation",
                now=now,
                after=after,
                each=each,
            )
        )

    def _selected(self, records: list[Record]) -> float:
        return float(records[0][self.study.experiment.evaluation.select])

    def _record(self, records: list[Record]) -> list[Record]:
        for record in records:
            self.run.append("metrics", record)
        self.observer.measured(records)
        return records
