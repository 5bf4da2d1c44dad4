"""`everbloom frontier`: check every cell, run what is left, show what was reached."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from everbloom.errors import ConfigError, PrivacyError
from everbloom.experiment import Experiment, load_experiment
from simulation.campaign.grid import Cell
from simulation.campaign.pictures import drawn
from simulation.campaign.running import Campaign, Checked, run_campaign
from simulation.commands import study_with_progress
from simulation.frontier.grid import FRONTIER, Point, make_grid
from simulation.frontier.picture import draw_frontier
from simulation.frontier.results import Results, collect, reached
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

    def write(checked: Checked[Point], failed: Mapping[Cell[Point], str]) -> None:
        collect(grid, folder, checked.refused, failed).write(base.name, folder)

    campaign = Campaign(FRONTIER, base, grid, folder)
    checked, failed = run_campaign(
        campaign, lambda experiment: study_with_progress(experiment, console), console, _check_private, reached, write
    )
    results = collect(grid, folder, checked.refused, failed)
    print_frontier(console, results)
    pictures: Sequence[Path] = ()
    if any(result.quality for result in results.points):  # where something is to be seen
        pictures = drawn(console, lambda: [draw_frontier(results, base.name, folder / "frontier.png")])
    names = ", ".join(["frontier.csv", "frontier.json", *(path.name for path in pictures)])
    console.print(f"{names}: {folder}", highlight=False, soft_wrap=True)
    return results


def _check_private(checked: Checked[Point]) -> None:
    """Raises `PrivacyError` if everything that was to be private is refused."""
    if checked.refused and all(point.epsilon is None for point in checked.rounds):
        point, reason = next(iter(checked.refused.items()))
        raise PrivacyError(f"nothing private can be run; {point.label}: {reason}")


def _check_measures(experiment: Experiment) -> None:
    if 10 not in experiment.evaluation.k:
        raise ConfigError("evaluation.k: a frontier shows NDCG@10 and HR@10; include 10")
