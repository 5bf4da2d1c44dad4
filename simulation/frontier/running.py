"""Runs a frontier's cells one after another: finished ones are left alone, an interrupted one goes on from its checkpoint."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from everbloom.errors import CheckpointError, InputError, PrivacyError
from everbloom.experiment import Experiment
from everbloom.study import Study, open_study
from server.federation import check_measurements
from server.run_directory import RunDirectory
from simulation.frontier.grid import Cell, Grid, Point, cell_experiment
from simulation.frontier.progress import FrontierConsole
from simulation.frontier.record import difference
from simulation.population.population import open_population
from simulation.run import check_memory, check_personal, check_runtime, run_in_process

Opener = Callable[[Experiment], Study]


@dataclass(frozen=True)
class Checked:
    """What is known of a grid before anything runs."""

    data: str
    """The data set's fingerprint."""
    rounds: Mapping[Point, int]
    """Of the points that can run."""
    events: float
    """That one run's clients train on, in all its rounds and local steps."""
    refused: Mapping[Point, str]
    """The points whose claim could not be kept, and why."""


def check_grid(base: Experiment, grid: Grid, opened: Opener) -> Checked:
    """Opens every point as its runs will. Raises `InputError` for what is wrong with the experiment itself, or if no private point is left."""
    rounds: dict[Point, int] = {}
    refused: dict[Point, str] = {}
    events, data = 0.0, ""
    for point in grid.points:
        experiment = cell_experiment(base, Cell(point, grid.seeds[0]))
        check_runtime(experiment.runtime)
        check_personal(experiment)
        try:
            study = opened(experiment)
        except PrivacyError as error:
            refused[point] = str(error)
            continue
        check_measurements(study)
        check_memory(study)
        open_population(study)
        rounds[point], data = study.rounds, study.dataset.fingerprint
        clients = study.rounds * base.federation.cohort_size(study.clients)
        events = clients * base.learning.local_steps * len(study.dataset.events) / study.clients
    if refused and all(point.epsilon is None for point in rounds):
        raise PrivacyError(f"nothing private can be run; {next(iter(refused)).label}: {next(iter(refused.values()))}")
    return Checked(data, rounds, events, refused)


def cell_folder(out: Path, cell: Cell) -> Path:
    """Where a cell's run directory is."""
    return out / "cells" / cell.name


def finished(out: Path, cell: Cell) -> bool:
    """Whether this cell was run to its end."""
    return (cell_folder(out, cell) / "summary.json").is_file()


def check_cells(base: Experiment, grid: Grid, out: Path) -> None:
    """Raises `InputError` if a cell's directory holds the run of something else."""
    for cell in grid.cells:
        folder = cell_folder(out, cell)
        if (folder / "experiment.toml").is_file():
            found = difference(RunDirectory(folder).experiment, cell_experiment(base, cell))
            if found is not None:
                raise InputError(f"{folder}: is the run of another experiment ({found}); remove it to run this cell")


def run_cells(
    base: Experiment, cells: Iterable[Cell], checked: Checked, out: Path, console: FrontierConsole
) -> Iterator[tuple[Cell, str | None]]:
    """Runs cells that can run and are not finished; yields each with why it failed, if it did. A failed cell is tried again next time.

    A run that cannot go on (everybody diverges, say) says something about its point, and the others are still worth running; a damaged checkpoint is
    raised, since somebody must look at it.
    """
    for cell in cells:
        folder, experiment, reason = cell_folder(out, cell), cell_experiment(base, cell), None
        run, resume = _opened_directory(folder, experiment)
        with console.running(cell, checked.rounds[cell.point], run.rounds_done() if resume else 0) as ended:
            try:
                ended(run_in_process(_quiet(experiment), run, console, resume))
            except CheckpointError as error:
                raise CheckpointError(f"{error}; to run this cell anew, remove {folder}") from None
            except (InputError, FloatingPointError) as error:
                reason = " ".join(str(error).splitlines())
                ended(reason)
        yield cell, reason


def _opened_directory(folder: Path, experiment: Experiment) -> tuple[RunDirectory, bool]:
    """The cell's run directory, and whether there is something to continue. One that was stopped while it was being made is made again."""
    if (folder / "metrics.jsonl").is_file():
        run = RunDirectory.open(folder)
        # The runtime may be another one now; workers read the experiment from this file.
        run.write("experiment.toml", experiment.to_toml())
        return run, True
    if folder.exists():
        shutil.rmtree(folder)
    return RunDirectory.create(folder, experiment), False


def _quiet(experiment: Experiment) -> Study:
    """Opens a study whose data and features are prepared already."""
    return open_study(experiment, _nothing, _nothing)


def _nothing(done: int, total: int) -> None:
    return
