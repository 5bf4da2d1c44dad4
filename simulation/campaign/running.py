"""Runs a campaign's cells one after another: finished ones are left alone, an interrupted one goes on from its checkpoint."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic

from rich.console import Console

from everbloom.errors import CheckpointError, InputError, PrivacyError
from everbloom.experiment import Experiment
from everbloom.study import Study, open_study
from server.measuring import check_measurements
from server.run_directory import RunDirectory
from server.tracking import check_tracking
from simulation.campaign.grid import Cell, Family, Grid, P
from simulation.campaign.progress import CampaignConsole
from simulation.campaign.record import Record, difference, read_record
from simulation.campaign.runtime import fastest_runtime
from simulation.population.population import open_population
from simulation.run import check_memory, check_personal, check_runtime, run_in_process

Opener = Callable[[Experiment], Study]


@dataclass(frozen=True)
class Campaign(Generic[P]):
    """A grid of one experiment in one directory."""

    family: Family[P]
    base: Experiment
    grid: Grid[P]
    folder: Path

    def experiment(self, cell: Cell[P]) -> Experiment:
        """What a cell runs."""
        return self.family.variant(self.base, cell)

    def run_folder(self, cell: Cell[P]) -> Path:
        """Where a cell's run directory is."""
        return self.folder / "cells" / cell.name

    def finished(self, cell: Cell[P]) -> bool:
        """Whether this cell was run to its end."""
        return (self.run_folder(cell) / "summary.json").is_file()


@dataclass(frozen=True)
class Checked(Generic[P]):
    """What is known of a grid before anything runs."""

    data: str
    """The data set's fingerprint."""
    rounds: Mapping[P, int]
    """Of the points that can run."""
    events: float
    """That one run's clients train on, in all its rounds and local steps; of the run with most."""
    refused: Mapping[P, str]
    """The points whose claim could not be kept, and why."""


def check_grid(campaign: Campaign[P], opened: Opener) -> Checked[P]:
    """Opens every point as its runs will. Raises `InputError` for what is wrong with the experiment itself."""
    rounds: dict[P, int] = {}
    refused: dict[P, str] = {}
    events, data = 0.0, ""
    for point in campaign.grid.points:
        try:
            study = checked_study(campaign.experiment(Cell(point, campaign.grid.seeds[0])), opened)
        except PrivacyError as error:
            refused[point] = str(error)
            continue
        rounds[point], data = study.rounds, study.dataset.fingerprint
        events = max(events, trained_events(study))
    return Checked(data, rounds, events, refused)


def checked_study(experiment: Experiment, opened: Opener) -> Study:
    """Opens an experiment as its runs will. Raises `InputError`, a `PrivacyError` if its claim could not be kept."""
    check_runtime(experiment.runtime)
    check_personal(experiment)
    check_tracking(experiment)
    study = opened(experiment)
    check_measurements(study)
    check_memory(study)
    open_population(study)
    return study


def trained_events(study: Study) -> float:
    """(Expected) events that all clients train on, counted anew in each round and local step."""
    experiment, log = study.experiment, study.dataset.events
    windows = [study.window(period) for period in range(study.timeline.periods)]
    learnt = [log.earlier(window.end) - log.earlier(window.start) for window in windows]
    asked = experiment.federation.cohort_size(study.trainers) / study.trainers
    rounds = (experiment.rounds(period) for period in range(len(windows)))
    return asked * experiment.learning.local_steps * sum(a * b for a, b in zip(rounds, learnt, strict=True))


def run_campaign(
    campaign: Campaign[P],
    opened: Opener,
    console: Console,
    viable: Callable[[Checked[P]], None],
    reached: Callable[[Mapping[str, Any]], str],
    write: Callable[[Checked[P], Mapping[Cell[P], str]], None],
) -> tuple[Checked[P], dict[Cell[P], str]]:
    """Checks everything before the first cell runs and before anything is written, then runs what is left. The same call again continues.

    `viable` raises `InputError` if what is left after refusals is not worth running; `reached` tells of a run's summary; `write` is called after
    each cell and at the end with the failures so far (cell -> reason), and writes the results. Returns what was checked, and the failures.
    """
    before = read_record(campaign.family, campaign.folder)
    checked = check_grid(campaign, opened)
    viable(checked)
    record = Record(campaign.family, campaign.grid, campaign.base, checked.data)
    if before is not None:
        record.check_extends(before, campaign.folder)
        _check_cells(campaign)
    fastest = fastest_runtime(campaign.base.runtime, checked.events)
    campaign = replace(campaign, base=campaign.base.model_copy(update={"runtime": fastest}))
    campaign.folder.mkdir(parents=True, exist_ok=True)
    record.write(campaign.folder)
    cells = [cell for cell in campaign.grid.cells if cell.point in checked.rounds and not campaign.finished(cell)]
    watcher = CampaignConsole(console, len(cells), sum(checked.rounds[cell.point] for cell in cells), reached)
    failed: dict[Cell[P], str] = {}
    try:
        with watcher.watching():
            for cell, reason in _run_cells(campaign, cells, checked, watcher):
                if reason is not None:
                    failed[cell] = reason
                write(checked, failed)
    except KeyboardInterrupt:
        console.print("interrupted; the same command continues here", style="yellow")
        raise
    write(checked, failed)
    return checked, failed


def _check_cells(campaign: Campaign[P]) -> None:
    """Raises `InputError` if a cell's directory holds the run of something else."""
    for cell in campaign.grid.cells:
        folder = campaign.run_folder(cell)
        if (folder / "experiment.toml").is_file():
            found = difference(RunDirectory(folder).experiment, campaign.experiment(cell))
            if found is not None:
                raise InputError(f"{folder}: is the run of another experiment ({found}); remove it to run this cell")


def _run_cells(
    campaign: Campaign[P], cells: Iterable[Cell[P]], checked: Checked[P], console: CampaignConsole
) -> Iterator[tuple[Cell[P], str | None]]:
    """Runs cells that can run and are not finished; yields each with why it failed, if it did. A failed cell is tried again next time.

    A run that cannot go on (everybody diverges, say) says something about its point, and the others are still worth running; a damaged checkpoint is
    raised, since somebody must look at it.
    """
    for cell in cells:
        folder, experiment, reason = campaign.run_folder(cell), campaign.experiment(cell), None
        run, resume = _opened_directory(folder, experiment)
        with console.running(cell.label, checked.rounds[cell.point], run.rounds_done() if resume else 0) as ended:
            try:
                between = campaign.family.between(cell.point)
                runs = run_in_process if between is None else partial(run_in_process, between=between)
                ended(runs(_quiet(experiment), run, console, resume))
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
