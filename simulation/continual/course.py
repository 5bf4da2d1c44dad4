"""`everbloom continual`: check every cell, run what is left, show what was reached."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from everbloom.errors import PrivacyError
from everbloom.experiment import Experiment, load_experiment
from everbloom.study import Study
from simulation.campaign.grid import Cell
from simulation.campaign.periods import check_measures, period_starts, reached
from simulation.campaign.pictures import drawn
from simulation.campaign.running import Campaign, Checked, run_campaign
from simulation.commands import study_with_progress
from simulation.continual.grid import COMPARISON, Learner, make_grid
from simulation.continual.people import Population
from simulation.continual.pictures import draw_comparison
from simulation.continual.results import Results, collect
from simulation.continual.table import print_comparison
from simulation.continual.writing import write_results


def run_comparison(
    path: Path,
    overrides: Iterable[str],
    methods: Iterable[str],
    seeds: int,
    out: Path | None,
    console: Console,
    epsilons: Iterable[str] = (),
) -> Results:
    """Everything is checked before the first cell runs and before anything is written. The same call again continues where it stopped."""
    base = load_experiment(path, overrides)
    check_measures(base)
    grid = make_grid(base, methods, seeds, epsilons)
    folder = out or Path("runs") / f"{base.name}-continual"
    campaign = Campaign(COMPARISON, base, grid, folder)
    starts: list[str | None] = []
    population = Population(base.seed)

    def opened(experiment: Experiment) -> Study:
        study = study_with_progress(experiment, console)
        starts[:], population.users = period_starts(study), study.clients
        return study

    def write(checked: Checked[Learner], failed: Mapping[Cell[Learner], str]) -> None:
        write_results(collect(campaign, starts, checked.refused, failed, population), base.name, folder)

    checked, failed = run_campaign(campaign, opened, console, check_any, reached, write)
    results = collect(campaign, starts, checked.refused, failed, population)
    print_comparison(console, results)
    pictures: Sequence[Path] = ()
    if results.finished:
        pictures = drawn(console, lambda: draw_comparison(results, base.name, folder))
    names = ", ".join(["continual.csv", "continual.json", *(picture.name for picture in pictures)])
    console.print(f"{names}: {folder}", highlight=False, soft_wrap=True)
    return results


def check_any(checked: Checked[Learner]) -> None:
    """Raises `PrivacyError` if every method is refused."""
    if not checked.rounds:
        learner, reason = next(iter(checked.refused.items()))
        raise PrivacyError(f"no method can be run; {learner.label}: {reason}")
