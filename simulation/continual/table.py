"""The comparison as three tables: what people get in the next period, what is remembered, what is spent."""

from rich.console import Console
from rich.table import Table

from everbloom.intervals import Estimate
from simulation.campaign.periods import MAIN, MEASURES
from simulation.continual.results import REFERENCE, LearnerResult, Results

_REMEMBERED = {
    "forgetting": "forgetting",
    "backward_transfer": "BWT",
    "forward_transfer": "FWT",
    "plasticity": "plasticity",
    "final": "final",
}
"""measure -> its column."""
_COMPARED = {
    MAIN: f"next {MAIN.upper()}",
    "forgetting": "forgetting",
    "forgetting_throughout": "forgetting, throughout",
}


def quality_table(results: Results) -> Table:
    """A row per method, popularity first: quality on each period before it was learnt."""
    columns = (*(measure.upper() for measure in MEASURES), f"less {REFERENCE}'s")
    table = _table(f"quality on the next period; last column: {MAIN.upper()} {columns[-1]}, seed by seed", *columns)
    if results.finished:
        means = (results.popularity(measure)[1:].mean() for measure in MEASURES)
        table.add_row("popularity", *(f"{mean:.4f}" for mean in means), "")
    for result in results.finished:
        shown = (_shown(result.estimate(measure)) for measure in MEASURES)
        difference = result.differences[MAIN].difference() if MAIN in result.differences else "-"
        table.add_row(result.learner.label, *shown, difference)
    return table


def memory_table(results: Results) -> Table:
    """A row per method: forgetting and transfer."""
    shown = results.finished[0].memory if results.finished else "everybody"
    table = _table(f"remembered: {MAIN.upper()} on the periods that were learnt, of {shown}", *_REMEMBERED.values())
    for result in results.finished:
        table.add_row(result.learner.label, *(_remembered(name, result) for name in _REMEMBERED))
    return table


def people_table(results: Results) -> Table:
    """A row per method: its differences to fine-tuning, with intervals over users and seeds."""
    shown = {
        name: column for name, column in _COMPARED.items() if any(name in result.people for result in results.finished)
    }
    table = _table(f"less {REFERENCE}'s; intervals over people and seeds", *shown.values())
    for result in results.finished:
        if result.people:
            table.add_row(result.learner.label, *(_difference(result.people.get(name)) for name in shown))
    return table


def work_table(results: Results) -> Table:
    """A row per method: work and bytes after the warm start, epsilon at the end."""
    private = any("epsilon" in result.values for result in results.finished)
    columns = ("rounds", "client updates", "time of rounds", "MB", *(["epsilon"] if private else []))
    table = _table("spent after the warm start; epsilon: with it", *columns)
    for result in results.finished:
        size, epsilon = result.estimate("bytes"), result.estimate("epsilon")
        spent = ["-" if epsilon is None else f"{epsilon.mean:.3g}"] if private else []
        table.add_row(
            result.learner.label,
            _work(results, result, "rounds", ""),
            _work(results, result, "clients", ""),
            _work(results, result, "seconds", " s"),
            "-" if size is None else _megabytes(size.mean),
            *spent,
        )
    return table


def print_comparison(console: Console, results: Results) -> None:
    """The tables, what they mean, and why runs are missing."""
    if results.finished:
        console.print(quality_table(results))
        console.print(memory_table(results))
        if any(result.people for result in results.finished):
            console.print(people_table(results))
        console.print(work_table(results))
        for line in _notes(results):
            _tell(console, line)
    for learner, reason in results.refused.items():
        _tell(console, f"refused: {learner.label}: {reason}", style="yellow")
    for cell, failure in results.open.items():
        _tell(
            console,
            f"{'open' if failure is None else 'failed'}: {cell.label}{f': {failure}' if failure else ''}",
            style="yellow",
        )


def _notes(results: Results) -> list[str]:
    notes = []
    seeds = max(len(result.runs) for result in results.finished)
    if seeds > 1:
        notes.append(
            f"The intervals are over seeds (Student's t): how much another training on the same people would differ, not other people. "
            f"* differs from {REFERENCE}, seed by seed: the interval excludes 0."
        )
    else:
        notes.append("One seed: nothing is known of the spread; give --seeds.")
    if len({result.learner.privacy for result in results.finished}) > 1:
        notes.append(f"Differences are to {REFERENCE} with the same epsilon.")
    if any(result.people for result in results.finished):
        notes.append(
            "Over people and seeds: users are resampled, each with all that was measured of them, and the variance over seeds is added: "
            "how much another training would differ, for other people like these."
        )
    if not any(result.differences for result in results.finished):
        notes.append(f"Nothing to compare with: {REFERENCE} has no finished run with the same seed as another method.")
    if any(results.of_retrain(result, "clients") is not None for result in results.finished):
        notes.append("In brackets: of what retraining takes.")
    return notes


def _tell(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    """For a row per method."""
    table = Table(title=title, title_justify="left")
    table.add_column("method", overflow="fold", min_width=8)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _remembered(name: str, result: LearnerResult) -> str:
    """With the interval for forgetting, and a mark where it differs from fine-tuning's."""
    estimate = result.estimate(name)
    if estimate is None:
        return "-"
    mark = "*" if name in result.differences and result.differences[name].excludes_zero else ""
    if name == "forgetting":
        return estimate.short() + mark
    sign = "+" if name in ("backward_transfer", "forward_transfer") else ""
    return f"{estimate.mean:{sign}.4f}{mark}"


def _difference(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate.difference()


def _shown(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate.short()


def _work(results: Results, result: LearnerResult, name: str, unit: str) -> str:
    estimate, ratio = result.estimate(name), results.of_retrain(result, name)
    if estimate is None:
        return "-"
    return f"{estimate.mean:,.0f}{unit}" + ("" if ratio is None else f" ({ratio:.0%})")


def _megabytes(size: float) -> str:
    """Three digits at least."""
    return f"{size / 1e6:,.0f}" if size >= 1e8 else f"{size / 1e6:.3g}"
