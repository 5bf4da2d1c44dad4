"""A section of the page, and the words that several share."""

from collections.abc import Sequence
from dataclasses import dataclass

from everbloom.intervals import Estimate
from everbloom.report.charts.lines import Line
from everbloom.report.groups import Group
from everbloom.report.markup import Markup

BASELINES = 8
"""The first colour of baselines, after those of eight groups of runs: the page draws them grey."""


@dataclass(frozen=True)
class Section:
    """`anchor` is its address on the page."""

    anchor: str
    title: str
    body: Markup


def measure_name(measure: str) -> str:
    """As papers write it: NDCG@10."""
    name, _, rest = measure.partition("@")
    return (name.upper() if name in ("hr", "ndcg", "mrr", "map", "f1") else name.capitalize()) + (
        f"@{rest}" if rest else ""
    )


def estimated(estimate: Estimate | None) -> str:
    """A figure with its interval over seeds, or a dash."""
    return "–" if estimate is None else str(estimate)


def mean_line(label: str, colour: int, curves: Sequence[Sequence[tuple[float, float]]]) -> Line:
    """The mean over runs where all of them have a point, with the interval over seeds."""
    tables = [_numbered(curve) for curve in curves]
    shared = [key for key in tables[0] if all(key in table for table in tables)] if tables else []
    estimates = [Estimate.of([table[key] for table in tables]) for key in shared]
    points = [(x, estimate.mean) for (x, _), estimate in zip(shared, estimates, strict=True) if estimate is not None]
    band = [ends(estimate) for estimate in estimates if estimate is not None]
    return Line(label, colour, points, band if len(tables) > 1 else ())


def ends(estimate: Estimate) -> tuple[float, float]:
    """Of an interval; twice the mean where there is none."""
    if estimate.low is None or estimate.high is None:
        return estimate.mean, estimate.mean
    return estimate.low, estimate.high


def _numbered(curve: Sequence[tuple[float, float]]) -> dict[tuple[float, int], float]:
    """(x, how many points at this x came before) -> y: the end of a period and the beginning of the next lie at one round."""
    found: dict[tuple[float, int], float] = {}
    for x, y in curve:
        found[x, sum((x, place) in found for place in range(2))] = y
    return found


def baselines_of(groups: Sequence[Group]) -> list[str]:
    """What was measured beside the federations, each once."""
    return list(dict.fromkeys(name for group in groups for run in group.runs for name in run.baselines))


def shared_measures(groups: Sequence[Group]) -> list[str]:
    """The measures to show that all groups have."""
    return [name for name in groups[0].first.measures if all(name in group.first.measures for group in groups)]


def elapsed(seconds: float) -> str:
    """For people: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes for people: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
