"""The suite as a table: attacks one after the other, under each what every rule leaves of quality and lets through of the attack."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from everbloom.intervals import Estimate
from simulation.poisoning.measure import QUALITY, TOP
from simulation.poisoning.results import PointResult, Results


def poisoning_table(results: Results) -> Table:
    """A row per point; a line between attacks."""
    table = Table(
        title=f"honest people's test, all items ranked; promoted: share of them with the target item in their top {TOP}",
        title_justify="left",
    )
    for name in ("attack", "rule", "privacy"):
        table.add_column(name, overflow="fold")
    for name in ("seeds", *(measure.upper() for measure in QUALITY), "promoted", "its rank"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, result in enumerate(results.points):
        point = result.point
        last = place + 1 == len(results.points) or results.points[place + 1].point.attack_name != point.attack_name
        cells = [str(result.seeds), *_quality(result), *_promotion(result)]
        table.add_row(point.attack_name, point.rule_name, point.privacy, *cells, end_section=last)
    return table


def print_poisoning(console: Console, results: Results) -> None:
    """The table, and why points and runs are missing."""
    console.print(poisoning_table(results))
    refused: dict[str, list[str]] = {}
    for point, reason in results.refused.items():
        refused.setdefault(reason, []).append(point.attack_name)
    _tell(console, (f"refused (attack {', '.join(attacks)}): {reason}" for reason, attacks in refused.items()))
    _tell(console, (f"failed: {cell.label}: {reason}" for cell, reason in results.failed.items()))


def _tell(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _quality(result: PointResult) -> list[str]:
    return [str(result.measures[name]) if name in result.measures else "-" for name in QUALITY]


def _promotion(result: PointResult) -> list[str]:
    if "promoted" not in result.measures:
        return ["-", "-"]
    return [_shown(result.measures["promoted"], 100, "%"), _shown(result.measures["rank"], 1, "")]


def _shown(estimate: Estimate, scale: float, sign: str) -> str:
    half = "" if estimate.half is None else f" ± {scale * estimate.half:.0f}"
    return f"{scale * estimate.mean:.0f}{sign}{half}"
