"""`everbloom frontier`: check every cell, run what is left, show what was reached."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from everbloom.errors import ConfigError, InputError
from everbloom.experiment import Experiment, load_experiment
from simulation.commands import study_with_progress
from simulation.frontier.grid import Cell, Grid, make_grid
from simulation.frontier.picture import draw_frontier
from simulation.frontier.progress import FrontierConsole
from simulation.frontier.record import Record
from simulation.frontier.results import Results, collect
from simulation.frontier.running import Checked, check_cells, check_grid, finished, run_cells
from simulation.frontier.runtime import fastest_runtime
from simulation.frontier.table import print_frontier


def run_frontier(
    path: Path,
    overrides: Iterable[str],
    epsilons: Iterable[str],
    units: Iterable[str],
    mechanisms: Iterable[str],
    seeds: int,
    out: Path | None,
    console: Console,
) -> Results:
    """Everything is checked before the first cell runs and before anything is written. The same call again continues where it stopped."""
    base = load_experiment(path, overrides)
    _check_measures(base)
    grid = make_grid(base, epsilons, units, mechanisms, seeds)
    folder = out or Path("runs") / f"{base.name}-frontier"
    before = Record.read(folder)
    checked = check_grid(base, grid, lambda experiment: study_with_progress(experiment, console))
    record = Record(grid, base, checked.data)
    if before is not None:
        record.check_extends(before, folder)
        check_cells(base, grid, folder)
    base = base.model_copy(update={"runtime": fastest_runtime(base.runtime, checked.events)})
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder)
    results = _run(base, grid, checked, folder, console)
    print_frontier(console, results)
    pictured = _picture(results, base.name, folder, console)
    console.print(f"frontier.csv, frontier.json{pictured}: {folder}", highlight=False, soft_wrap=True)
    return results


def _run(base: Experiment, grid: Grid, checked: Checked, folder: Path, console: Console) -> Results:
    """Runs what is left; the files are written anew after each cell."""
    cells = [cell for cell in grid.cells if cell.point in checked.rounds and not finished(folder, cell)]
    watcher = FrontierConsole(console, len(cells), sum(checked.rounds[cell.point] for cell in cells))
    failed: dict[Cell, str] = {}
    try:
        with watcher.watching():
            for cell, reason in run_cells(base, cells, checked, folder, watcher):
                if reason is not None:
                    failed[cell] = reason
                collect(grid, folder, checked.refused, failed).write(base.name, folder)
    except KeyboardInterrupt:
        console.print("interrupted; the same command continues here", style="yellow")
        raise
    results = collect(grid, folder, checked.refused, failed)
    results.write(base.name, folder)
    return results


def _picture(results: Results, name: str, folder: Path, console: Console) -> str:
    """Draws it where something is to be seen and matplotlib is there; how the last line names it."""
    if not any(result.quality for result in results.points):
        return ""
    try:
        draw_frontier(results, name, folder / "frontier.png")
    except InputError as error:
        console.print(f"note: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        return ""
    return ", frontier.png"


def _check_measures(experiment: Experiment) -> None:
    if 10 not in experiment.evaluation.k:
        raise ConfigError("evaluation.k: a frontier shows NDCG@10 and HR@10; include 10")
