"""`everbloom rolling`: check every cut, run what is left, show what was reached."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from everbloom.errors import ConfigError, PrivacyError
from everbloom.experiment import load_experiment
from everbloom.intervals import Estimate
from server.measuring import MODEL
from simulation.campaign.grid import Cell
from simulation.campaign.periods import MEASURES, check_measures, period_starts, reached
from simulation.campaign.running import Campaign, Checked, run_campaign
from simulation.commands import study_with_progress
from simulation.rolling.grid import ROLLING, Cut, make_grid
from simulation.rolling.results import MODELS, Results, collect


def run_rolling(
    path: Path, overrides: Iterable[str], cuts: int, seeds: int, out: Path | None, console: Console
) -> Results:
    """Everything is checked before the first cell runs and before anything is written. The same call again continues where it stopped."""
    base = load_experiment(path, overrides)
    check_measures(base)
    if base.protocol.origin is not None:
        raise ConfigError("protocol.origin: a rolling evaluation sets it itself; remove it")
    study = study_with_progress(base, console)
    grid = make_grid(base, study.timeline.periods, cuts, seeds)
    days = period_starts(study)
    starts = {cut: days[cut.origin] for cut in grid.points}
    folder = out or Path("runs") / f"{base.name}-rolling"
    campaign = Campaign(ROLLING, base, grid, folder)

    def write(checked: Checked[Cut], failed: Mapping[Cell[Cut], str]) -> None:
        collect(campaign, starts, failed).write(base.name, folder)

    _, failed = run_campaign(
        campaign, lambda experiment: study_with_progress(experiment, console), console, check_all, reached, write
    )
    results = collect(campaign, starts, failed)
    print_rolling(console, results)
    console.print(f"rolling.csv, rolling.json: {folder}", highlight=False, soft_wrap=True)
    return results


def check_all(checked: Checked[Cut]) -> None:
    """Raises `PrivacyError` if a cut is refused: they only differ in their data, and a mean over some would mislead."""
    for cut, reason in checked.refused.items():
        raise PrivacyError(f"{cut.label}: {reason}")


def rolling_table(results: Results) -> Table:
    """Two rows per cut, the model and popularity, and two for all cuts together."""
    table = Table(title="trained before each period, tested on it: mean and 95% interval", title_justify="left")
    for column in ("tested", "model"):
        table.add_column(column, no_wrap=True)
    for measure in MEASURES:
        table.add_column(measure.upper(), justify="right", no_wrap=True)
    for cut, start in results.starts.items():
        for model in MODELS:
            place = f"{cut.origin}: {start}" if start else cut.label
            table.add_row(
                place if model == MODEL else "", model, *(_shown(results.of_cut(cut, model, name)) for name in MEASURES)
            )
        table.add_section()
    for model in MODELS:
        shown = (_shown(results.together(model, name)) for name in MEASURES)
        table.add_row("all cuts" if model == MODEL else "", model, *shown)
    return table


def print_rolling(console: Console, results: Results) -> None:
    """The table, the gain over popularity, and what is missing."""
    console.print(rolling_table(results))
    lines = ["Intervals: of a cut over its seeds, of all cuts over the cuts (each the mean of its seeds)."]
    gain = results.gain(MEASURES[0])
    if gain is not None:
        told = f"{gain.mean:+.4f}" + ("" if gain.half is None else f" ± {gain.half:.4f}")
        lines.append(f"{MEASURES[0].upper()} of {MODEL} less popularity's, over cuts: {told}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for row in results.rows:
        if row["status"] != "done":
            console.print(
                f"{row['status']}: period {row['period']}, seed {row['seed']}"
                + (f": {row['reason']}" if row["reason"] else ""),
                style="yellow",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _shown(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate.short()
