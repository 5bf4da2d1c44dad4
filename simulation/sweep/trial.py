"""One trial: a run for each seed, one after another, the first of which may be given up."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from everbloom.errors import InputError
from everbloom.evaluation.records import FEDERATED
from everbloom.experiment import Experiment
from everbloom.study import open_study
from server.run_directory import RunDirectory
from simulation.campaign.record import difference
from simulation.run import run_in_process

Judge = Callable[[int, float], bool]
"""(rounds done, value so far) of a trial's first seed -> whether to give the trial up."""
Tell = Callable[["Progress"], None]


@dataclass(frozen=True)
class Trial:
    """What is to be run. `runs`: the experiment and the directory for each seed."""

    number: int
    runs: tuple[tuple[Experiment, Path], ...]
    metric: str


@dataclass(frozen=True)
class Progress:
    """How far a trial is: its run (from 0), rounds done in it, and what the run is worth if it ended here."""

    run: int
    round: int
    value: float | None


@dataclass(frozen=True)
class Outcome:
    """`values`: of each run that reached its end."""

    number: int
    status: Literal["done", "pruned", "failed"]
    values: tuple[float, ...] = ()
    reason: str = ""

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return sum(self.values) / len(self.values)


class PrunedError(Exception):
    """The trial is given up. No error of anybody's: it leaves a run from within its observer."""


@dataclass
class Standing:
    """An `Observer` that knows what a run is worth so far: in each period the metric at the round which the run keeps, averaged over periods."""

    experiment: Experiment
    metric: str
    judge: Judge | None
    tell: Callable[[int, float | None], None]
    kept: dict[int, tuple[float, float]] = field(default_factory=dict)
    """period -> (what selects, the metric) at the best round so far."""
    rounds: int = 0

    @property
    def value(self) -> float | None:
        """None before anything was measured on validation."""
        return sum(metric for _, metric in self.kept.values()) / len(self.kept) if self.kept else None

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """See `Observer`."""
        self.rounds += 1
        self.tell(self.rounds, self.value)

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Observer`. Raises `PrunedError`."""
        record = records[0]  # all users, all items
        if record["split"] != "validation" or record["model"] != FEDERATED:
            return
        selects, metric = record[self.experiment.evaluation.select], record[self.metric]
        best = self.kept.get(record["period"])
        if best is None or selects > best[0]:
            self.kept[record["period"]] = (selects, metric)
        if self.judge is not None and record["round"]:
            assert self.value is not None
            before = sum(self.experiment.rounds(period) for period in range(record["period"]))
            if self.judge(before + record["round"], self.value):
                raise PrunedError


def perform(trial: Trial, judge: Judge | None, tell: Tell) -> Outcome:
    """Runs what is left of a trial: a run that reached its end is read, any other is run anew."""
    values: list[float] = []
    for place, (experiment, folder) in enumerate(trial.runs):

        def told(rounds: int, value: float | None, place: int = place) -> None:
            tell(Progress(place, rounds, value))

        standing = Standing(experiment, trial.metric, judge if place == 0 else None, told)
        try:
            _run(experiment, folder, standing)
        except PrunedError:
            return Outcome(trial.number, "pruned")
        except (InputError, FloatingPointError) as error:
            return Outcome(trial.number, "failed", tuple(values), " ".join(str(error).splitlines()))
        if standing.value is None:
            return Outcome(trial.number, "failed", tuple(values), f"{folder}: nothing was measured on validation")
        values.append(standing.value)
    return Outcome(trial.number, "done", tuple(values))


def _run(experiment: Experiment, folder: Path, standing: Standing) -> None:
    if (folder / "summary.json").is_file() and difference(RunDirectory(folder).experiment, experiment) is None:
        for record in RunDirectory(folder).records("metrics"):
            if record["slice"] == "all" and record["protocol"] == "full":
                standing.measured([record])
        return
    if folder.exists():
        shutil.rmtree(folder)
    run = RunDirectory.create(folder, experiment)
    run_in_process(open_study(experiment, _nothing, _nothing), run, standing, resume=False)


def _nothing(done: int, total: int) -> None:
    return
