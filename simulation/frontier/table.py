"""The frontier as a table: quality by epsilon, beside popularity and no privacy."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from everbloom.intervals import Estimate
from simulation.frontier.grid import Point, written
from simulation.frontier.results import MEASURES, Results

_NDCG = MEASURES[0]


def frontier_table(results: Results) -> Table:
    """A row per point, popularity first."""
    table = Table(
        title=f"test, all items ranked: mean over seeds and 95% interval; ratio: {_NDCG.upper()} over that without privacy",
        title_justify="left",
    )
    table.add_column("privacy", overflow="fold")
    for name in ("epsilon", "seeds", *(measure.upper() for measure in MEASURES), "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("popularity", "-", "", *_cells(results.popularity), "")
    for result in results.points:
        ratio = result.ratio.get(_NDCG)
        shown = "-" if ratio is None else f"{ratio:.0%}"
        table.add_row(*_place(result.point), str(result.seeds), *_cells(result.quality), shown)
    for point in results.refused:
        table.add_row(*_place(point), "", *("refused" for _ in MEASURES), "")
    return table


def print_frontier(console: Console, results: Results) -> None:
    """The table, what it means, and why points and runs are missing."""
    console.print(frontier_table(results))
    if any(estimate.half is not None for result in results.points for estimate in result.quality.values()):
        _tell(
            console,
            "The intervals are over seeds (Student's t): how much another training on the same people would differ, not other people.",
        )
    for point, reason in results.refused.items():
        _tell(console, f"refused: {point.label}: {reason}", style="yellow")
    for cell, reason in results.failed.items():
        _tell(console, f"failed: {cell.label}: {reason}", style="yellow")


def _tell(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _place(point: Point) -> tuple[str, str]:
    return ("no privacy", "-") if point.epsilon is None else (point.line, written(point.epsilon))


def _cells(quality: Mapping[str, Estimate]) -> list[str]:
    return [str(quality[name]) if name in quality else "-" for name in MEASURES]
