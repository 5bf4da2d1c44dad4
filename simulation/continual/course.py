"""`everbloom continual`: check every cell, run what is left, show what was reached."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from everbloom.errors import ConfigError, PrivacyError
from everbloom.experiment import Experiment, load_experiment
from everbloom.study import Study
from simulation.campaign.grid import Cell
from simulation.campaign.pictures import drawn
from simulation.campaign.running import Campaign, Checked, run_campaign
from simulation.commands import study_with_progress
from simulation.continual.grid import COMPARISON, Learner, make_grid
from simulation.continual.pictures import draw_comparison
from simulation.continual.results import MAIN, MEASURES, Results, collect
from simulation.continual.table import print_comparison
from simulation.continual.writing import write_results


def run_comparison(
    path: Path, overrides: Iterable[str], methods: Iterable[str], seeds: int, out: Path | None, console: Console
) -> Results:
    """Everything is checked before the first cell runs and before anything is written. The same call again continues where it stopped."""
    base = load_experiment(path, overrides)
    check_measures(base)
    grid = make_grid(base, methods, seeds)
    folder = out or Path("runs") / f"{base.name}-continual"
    campaign = Campaign(COMPARISON, base, grid, folder)
    starts: list[str | None] = []

    def opened(experiment: Experiment) -> Study:
        study = study_with_progress(experiment, console)
        starts[:] = period_starts(study)
        return study

    def write(checked: Checked[Learner], failed: Mapping[Cell[Learner], str]) -> None:
        write_results(collect(campaign, starts, checked.refused, failed), base.name, folder)

    checked, failed = run_campaign(campaign, opened, console, check_any, reached, write)
    results = collect(campaign, starts, checked.refused, failed)
    print_comparison(console, results)
    pictures: Sequence[Path] = ()
    if results.finished:
        pictures = drawn(console, lambda: draw_comparison(results, base.name, folder))
    names = ", ".join(["continual.csv", "continual.json", *(picture.name for picture in pictures)])
    console.print(f"{names}: {folder}", highlight=False, soft_wrap=True)
    return results


def period_starts(study: Study) -> list[str | None]:
    """The day each period begins with; None where a log has no times. Days of the first event for the warm start, of the cut for the others."""
    if not study.dataset.events.has_time:
        return [None] * study.timeline.periods
    return [str(np.datetime64(int(time), "s").astype("datetime64[D]")) for time in study.timeline.boundaries[:-1]]


def reached(summary: Mapping[str, object]) -> str:
    """A summary's quality in a few words."""
    test = summary["test"]
    assert isinstance(test, dict)
    failed = f", {summary['failed']} updates failed" if summary["failed"] else ""
    return f"next-period {MAIN.upper()} {test['full'][MAIN]:.4f}{failed}"


def check_any(checked: Checked[Learner]) -> None:
    """Raises `PrivacyError` if every method is refused."""
    if not checked.rounds:
        learner, reason = next(iter(checked.refused.items()))
        raise PrivacyError(f"no method can be run; {learner.label}: {reason}")


def check_measures(experiment: Experiment) -> None:
    """Raises `ConfigError` where the tables would have holes."""
    if experiment.protocol.name != "timeline":
        raise ConfigError(
            f'protocol.name: "{experiment.protocol.name}" has no periods to learn on in; set protocol.name = "timeline"'
        )
    if not {10, 20} <= set(experiment.evaluation.k):
        raise ConfigError(
            f"evaluation.k: the tables show {', '.join(name.upper() for name in MEASURES)}; include 10 and 20"
        )
