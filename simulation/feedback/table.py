"""The first and the last step of every loop as a table, and what the loops have made of their models."""

from rich import box
from rich.console import Console
from rich.table import Table

from everbloom.intervals import Estimate
from simulation.feedback.arms import CONTROL
from simulation.feedback.results import Results

_SHOWN = {
    "ctr": "CTR",
    "utility": "utility",
    "gini": "Gini",
    "homogeneity": "homog.",
    "exposure_bias": "bias",
    "taste_distance": "tastes",
}
"""measure -> its column."""


def feedback_table(results: Results) -> Table:
    """Two rows a loop, or one where there is one step."""
    seeds = results.seeds()
    table = Table(
        title=f"lists as shown: {'one seed' if seeds == 1 else f'mean over {seeds} seeds, 95% interval'}",
        title_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("lists", overflow="fold")
    for name in ("step", *_SHOWN.values()):
        table.add_column(name, justify="right", no_wrap=True)
    steps = results.steps()
    for label in results.labels():
        table.add_section()
        for step in dict.fromkeys((steps[0], steps[-1])):
            cells = (_shown(results.estimate(label, step, name), "\n±") for name in _SHOWN)
            table.add_row(label if step == steps[0] else "", str(step), *cells)
    return table


def print_feedback(console: Console, results: Results) -> None:
    """The table, and what the models' own lists have become beside the control's."""
    console.print(feedback_table(results))
    if results.seeds() > 1:
        _tell(
            console,
            "The intervals are over seeds (Student's t): other trainings, lists and reactions of the same people, not other people.",
        )
    last = results.steps()[-1]
    for label in results.labels():
        if label != CONTROL:
            more = ", ".join(
                f"{_SHOWN[name]} {_shown(results.estimate(label, last, f'amplified_{name}'), sign='+')}"
                for name in ("utility", "gini", "homogeneity")
            )
            _tell(console, f"{label}: in step {last} its model's own best lists exceed the {CONTROL} model's by {more}")


def _tell(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _shown(estimate: Estimate | None, between: str = " ± ", sign: str = "") -> str:
    """Mean and half an interval."""
    if estimate is None:
        return "-"
    half = "" if estimate.half is None else f"{between}{estimate.half:.3f}"
    return f"{estimate.mean:{sign}.3f}{half}"
