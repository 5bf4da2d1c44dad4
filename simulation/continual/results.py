"""What the methods reached: mean and interval over seeds of every measure, and the difference to plain fine-tuning."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.continual import measures
from everbloom.intervals import Estimate
from server.run_directory import RunDirectory
from simulation.campaign.grid import Cell
from simulation.campaign.periods import MAIN, MEASURES
from simulation.campaign.running import Campaign
from simulation.continual.grid import Learner
from simulation.continual.people import Population, Resampled, compared
from simulation.continual.reading import Measured, read_run

SLICES = ("new-users", "returning-users", "new-items", "tail-items")
REFERENCE, FROZEN, RETRAIN = "finetune", "frozen", "retrain"


@dataclass(frozen=True)
class LearnerResult:
    """One method's finished runs. Every mapping is by measure."""

    learner: Learner
    runs: Mapping[int, Measured]
    """seed -> what it measured."""
    values: Mapping[str, Mapping[int, float]]
    """measure -> seed -> value; what a run cannot tell (NaN) is left out."""
    differences: Mapping[str, Estimate]
    """To fine-tuning with the same epsilon, seed by seed; empty for fine-tuning itself and where it was not run."""
    people: Mapping[str, Estimate]
    """The same of some measures, with intervals over users and seeds; empty also where runs have no records per user."""

    @property
    def memory(self) -> str:
        """On whom the matrix is measured, in words."""
        run = next(iter(self.runs.values()))
        return "the panel" if run.memory_slice == "panel" else "everybody"

    def estimate(self, name: str) -> Estimate | None:
        """Of a measure; None where no run tells it."""
        return Estimate.of(list(self.values.get(name, {}).values()))

    def by_period(self, measure: str, part: str = "all") -> list[Estimate | None]:
        """[periods] quality on the next period."""
        rows = [run.next_period(measure, part) for run in self.runs.values()]
        return [
            Estimate.of([float(value) for value in column if not np.isnan(value)]) for column in zip(*rows, strict=True)
        ]

    def matrix(self, measure: str = MAIN) -> NDArray[np.float64]:
        """[periods, periods] the mean over seeds."""
        return np.mean([run.matrix(measure) for run in self.runs.values()], axis=0)  # type: ignore[no-any-return]

    def spent(self) -> list[float | None]:
        """[periods] epsilon at the end of each, the mean over seeds; None without privacy."""
        columns = zip(*([work.epsilon for work in run.work] for run in self.runs.values()), strict=True)
        known = [[value for value in column if value is not None] for column in columns]
        return [sum(column) / len(column) if column else None for column in known]


@dataclass(frozen=True)
class Results:
    """Everything that the tables and the pictures show."""

    starts: Sequence[str | None]
    """[periods] the day each period begins with, YYYY-MM-DD; None for a log without times."""
    learners: Sequence[LearnerResult]
    open: Mapping[Cell[Learner], str | None]
    """Cells that are not finished, and why they failed if they did."""
    refused: Mapping[Learner, str]

    @property
    def finished(self) -> list[LearnerResult]:
        """Those with at least one run."""
        return [result for result in self.learners if result.runs]

    def popularity(self, measure: str) -> NDArray[np.float64]:
        """[periods] what popularity reaches on the next period; no method changes it, and of the seed it depends on who has left."""
        runs = [run for result in self.finished for run in result.runs.values()]
        return np.mean([run.baseline(measure) for run in runs], axis=0)  # type: ignore[no-any-return]

    def of_retrain(self, result: LearnerResult, name: str) -> float | None:
        """The mean of a measure of work over that of retraining; None where it was not run."""
        full = _plainest((other.learner for other in self.finished), RETRAIN, result.learner)
        ours, theirs = (
            result.estimate(name),
            next((other.estimate(name) for other in self.finished if other.learner == full), None),
        )
        return None if ours is None or theirs is None or theirs.mean == 0 else ours.mean / theirs.mean


def collect(
    campaign: Campaign[Learner],
    starts: Sequence[str | None],
    refused: Mapping[Learner, str],
    failed: Mapping[Cell[Learner], str],
    population: Population | None = None,
) -> Results:
    """Reads the finished cells. `population`: the users to resample; None: there are no intervals over users."""
    runs: dict[Learner, dict[int, Measured]] = {learner: {} for learner in campaign.grid.points}
    left: dict[Cell[Learner], str | None] = {}
    for cell in campaign.grid.cells:
        if campaign.finished(cell):
            runs[cell.point][cell.seed] = read_run(RunDirectory(campaign.run_folder(cell)), len(starts))
        elif cell.point not in refused:
            left[cell] = failed.get(cell)
    values = {}
    for learner, own in runs.items():
        still = _plainest(runs, FROZEN, learner)
        frozen = {} if still is None else runs[still]
        values[learner] = _by_measure({seed: measures_of(run, frozen.get(seed)) for seed, run in own.items()})
    resampled = _resampled(campaign, runs, len(starts), population)
    learners = []
    for learner in campaign.grid.points:
        if learner in refused:
            continue
        plain = _plainest(runs, REFERENCE, learner)
        differences: dict[str, Estimate] = {}
        people: dict[str, Estimate] = {}
        if plain is not None and plain != learner:
            differences = _differences(values[learner], values[plain])
            people = compared(values[learner], values[plain], resampled[learner], resampled[plain])
        learners.append(LearnerResult(learner, runs[learner], values[learner], differences, people))
    return Results(starts, learners, left, refused)


def _resampled(
    campaign: Campaign[Learner], runs: Mapping[Learner, Iterable[int]], periods: int, population: Population | None
) -> dict[Learner, dict[int, Resampled]]:
    """What each finished run would have measured on other people, by learner and seed; without runs that have no records per user."""
    found: dict[Learner, dict[int, Resampled]] = {learner: {} for learner in runs}
    if population is None:
        return found
    for learner, seeds in runs.items():
        for seed in seeds:
            folder = campaign.run_folder(Cell(learner, seed))
            if (again := population.resampled(RunDirectory(folder), periods)) is not None:
                found[learner][seed] = again
    return found


def measures_of(run: Measured, frozen: Measured | None) -> dict[str, float]:
    """measure -> value of one run; NaN where it cannot tell. `frozen`: the run with the same seed that never learnt on.

    Quality is that on the next period, of everybody and by slice; what is remembered is measured in NDCG@10 on the run's `memory_slice`; work is that
    after the warm start, with which every method begins.
    """
    matrix = run.matrix(MAIN)
    found = {name: _mean(run.next_period(name)) for name in MEASURES}
    found |= {f"{name} {part}": _mean(run.next_period(name, part)) for part in SLICES for name in MEASURES}
    found |= {
        "forgetting": measures.average_forgetting(matrix),
        "forgetting_throughout": measures.forgetting_throughout(matrix),
        "backward_transfer": measures.backward_transfer(matrix),
        "forward_transfer": measures.forward_transfer(
            matrix, None if frozen is None else measures.next_period(frozen.matrix(MAIN))
        ),
        "plasticity": measures.plasticity(matrix),
        "stability": measures.stability(matrix),
        "final": measures.final_mean(matrix),
    }
    rounds, areas = run.speed()
    found |= {"rounds_to_90": _mean(np.array(rounds)), "curve_area": _mean(np.array(areas))}
    later = run.work[1:]
    found |= {key: float(sum(getattr(work, key) for work in later)) for key in ("rounds", "clients", "seconds")}
    found["bytes"] = float(sum(work.bytes_up + work.bytes_down for work in later))
    spent = run.work[-1].epsilon
    return found | {"epsilon": math.nan if spent is None else spent}


def _by_measure(runs: Mapping[int, Mapping[str, float]]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for seed, values in runs.items():
        for name, value in values.items():
            if not math.isnan(value):
                found.setdefault(name, {})[seed] = value
    return found


def _differences(
    values: Mapping[str, Mapping[int, float]], reference: Mapping[str, Mapping[int, float]]
) -> dict[str, Estimate]:
    found = {name: Estimate.paired(own, reference.get(name, {})) for name, own in values.items()}
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _plainest(learners: Iterable[Learner], method: str, beside: Learner) -> Learner | None:
    """Who stands for a method beside a learner: of those with the same privacy the one with the fewest options."""
    own = [learner for learner in learners if learner.method == method and learner.privacy == beside.privacy]
    return min(own, key=lambda learner: len(learner.options), default=None)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
