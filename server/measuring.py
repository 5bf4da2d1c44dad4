"""Central measurements of a federation: on validation, on a new period before it is learnt, and on past periods after it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from everbloom.config import EvaluationConfig
from everbloom.data.candidates import load_candidates
from everbloom.data.drawn_candidates import DRAWN, drawn_candidates
from everbloom.data.timeline import Split
from everbloom.errors import ConfigError
from everbloom.evaluation.baselines.popularity import Popularity
from everbloom.evaluation.evaluator import EachCase, Evaluator, Part, Scorer
from everbloom.evaluation.metrics import metric_keys
from everbloom.evaluation.records import FEDERATED, Record
from everbloom.evaluation.training_events import trained_period
from everbloom.evaluation.user_records import UserRecords, kept_measures, looked_back, of_test
from everbloom.study import Study
from server.device_measuring import device_record
from server.observer import Observer
from server.run_directory import RunDirectory

MODEL = FEDERATED


def evaluator_of(study: Study) -> Evaluator:
    """The evaluator of an experiment, with its stored candidates if it names any."""
    evaluation = study.experiment.evaluation
    stored = None
    if evaluation.candidates is not None:
        stored = (
            drawn_candidates(study.timeline)
            if evaluation.candidates == DRAWN
            else load_candidates(study.dataset, study.experiment.data, evaluation.candidates)
        )
    return Evaluator(
        study.timeline, evaluation, candidates=stored, seed=study.experiment.seed, membership=study.membership
    )


def check_measurements(study: Study) -> None:
    """Raises `InputError`, before any work, if a period could not be measured as the experiment asks."""
    evaluator = evaluator_of(study)
    _check_devices(study)
    splits: tuple[Split, ...] = ("validation", "test")
    for period in range(study.timeline.periods):
        for split in splits:
            if study.timeline.has(period, split):
                study.timeline.check(period, split)
        if study.membership is not None and study.timeline.has(period, "test"):
            evaluator.measured(period, "test", now=period)
            if study.membership.panel.any():
                evaluator.measured(period, "test", now=study.timeline.periods - 1, part="panel")


def unknown_choice(algorithm: str) -> str:
    """Why nobody can be measured where devices are real and choose among several models."""
    return (
        f'learning.algorithm = "{algorithm}": real devices tell nobody which model they have chosen, so a server with events cannot measure '
        'what their users get; simulate (runtime.name = "in-process"), or deploy without events: data.source = "catalogue" and [evaluation.devices]'
    )


def _check_devices(study: Study) -> None:
    devices, known = study.experiment.evaluation.devices, metric_keys(study.experiment.evaluation.k)
    if devices is None:
        return
    if unknown := [name for name in devices.measures if name not in known]:
        raise ConfigError(
            f"evaluation.devices.measures: {unknown[0]!r} is not measured; expected some of: {', '.join(known)}"
        )
    if study.plan is not None:
        _ = study.plan.query


def selected(records: Sequence[Record], evaluation: EvaluationConfig) -> float:
    """Of a validation's records, the value that selects: over all users, which come first among those of a protocol."""
    chosen = next(record for record in records if record["protocol"] == evaluation.select_protocol)
    return float(chosen[evaluation.select])


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

    def beside(self, scorer: Scorer, model: str, split: Split, period: int, round: int) -> list[Record]:
        """Another model of the same federation, under a name of its own. Returns the records over all users."""
        records = self._measure(scorer, split, period, now=period, round=round, model=model)
        return [record for record in records if record["slice"] == "all"]

    def validate_baseline(self, period: int) -> None:
        """Popularity on a period's validation."""
        self._baseline("validation", period)

    def test(self, scorer: Scorer, period: int, round: int) -> list[Record]:
        """The model and the baseline on a period's test: before the period is learnt, except under leave-one-out. Returns those over all users."""
        last = None if self.study.membership is None else period - 1
        records = self._measure(scorer, "test", period, now=period, round=round, after=last)
        if last is not None and self._panel is not None:
            self._remember(scorer, period, now=period, round=round, after=last)
        records += self._baseline("test", period)
        return [record for record in records if record["slice"] == "all"]

    def remember(self, scorer: Scorer, after: int, round: int) -> None:
        """The model at the end of period `after` on every period so far: a row of the forgetting matrix."""
        for period in range(1, after + 1):
            self._remember(scorer, period, now=after, round=round, after=after)

    @property
    def _panel(self) -> NDArray[np.bool_] | None:
        """[users] who is in the panel; None where there is none."""
        membership = self.study.membership
        return membership.panel if membership is not None and membership.panel.any() else None

    def _remember(self, scorer: Scorer, period: int, *, now: int, round: int, after: int) -> None:
        """On the panel; on everybody where there is none."""
        part: Part = "all" if self._panel is None else "panel"
        self._record(
            self.evaluator.measure(
                scorer,
                model=MODEL,
                period=period,
                round=round,
                split="test",
                now=now,
                after=after,
                part=part,
                each=self._keeper(looked_back(after, period), period, now, part),
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
    ) -> list[Record]:
        each = None if split == "validation" else self._keeper(of_test(period, model), period, now, "all")
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

    def _keeper(self, name: str, period: int, now: int, part: Part) -> EachCase:
        """Writes what a test gave each user."""

        def keep(user: NDArray[np.int32], measures: dict[str, NDArray[np.float64]]) -> None:
            cases = self.evaluator.measured(period, "test", now=now, part=part).cases
            history = (cases.history_end - cases.history_start).astype(np.int32)
            kept = kept_measures(self.evaluator.config.k)
            values = {measure: measures[measure].astype(np.float32) for measure in kept}
            UserRecords(user, history, values).write(self.run.path, name)

        return keep

    def devices_told(self, told: Mapping[str, object], reasons: Sequence[str], period: int, round: int) -> None:
        """What the devices' sums say of a round's model; `reasons`: why some did not answer."""
        self._record([device_record(told, reasons, period, round)])

    def _selected(self, records: list[Record]) -> float:
        return selected(records, self.study.experiment.evaluation)

    def _record(self, records: list[Record]) -> list[Record]:
        for record in records:
            self.run.append("metrics", record)
        self.observer.measured(records)
        return records
