"""A sweep's end on the terminal: the best trials, what mattered, and what it cost in privacy."""

from rich.console import Console
from rich.table import Table

from simulation.sweep.results import Results, named

_SHOWN = 10


def print_results(console: Console, results: Results) -> None:
    """The best trials, importances, notes."""
    counts = {
        status: sum(trial.status == status for trial in results.trials) for status in ("done", "pruned", "failed")
    }
    metric = results.sweep.config.objective.metric
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    table = Table(title=f"{len(results.trials)} trials ({told}); validation {metric}", title_justify="left")
    for name in ("trial", metric):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("values", overflow="fold")
    for trial in results.ranked[:_SHOWN]:
        table.add_row(str(trial.number), str(trial.estimate), named(trial.values))
    console.print(table)
    if results.importance:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in results.importance.items())
        console.print(f"importance: {shares}", markup=False, highlight=False, soft_wrap=True)
    for note in results.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
