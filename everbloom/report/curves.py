"""Pictures of a run: quality and privacy spent by round."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from everbloom.errors import InputError

Records = Sequence[Mapping[str, Any]]


def draw_quality(
    runs: Mapping[str, tuple[Records, Records]], references: Mapping[str, float], measure: str, path: Path
) -> None:
    """Draws validation `measure` by round for each run, with what was spent beneath, and level lines for `references`; writes a PNG.

    `runs`: label -> (metrics records, rounds records) of a run with one period. Raises `InputError` without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("a picture needs matplotlib: pip install 'everbloom[demo]'") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    quality, spent = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for label, (metrics, rounds) in runs.items():
        points = [(row["round"], row[measure]) for row in metrics if _is_curve(row)]
        line = quality.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)[0]
        epsilons = [(row["round"], row["epsilon"]) for row in rounds if row["epsilon"] is not None]
        if epsilons:
            spent.plot(*zip(*epsilons, strict=True), color=line.get_color())
    for (label, value), style in zip(references.items(), (":", "--", "-."), strict=False):
        quality.axhline(value, color="grey", linestyle=style, label=label)
    quality.set_ylabel(f"{measure.upper()}, validation, all items ranked")
    quality.legend(loc="best", fontsize=8)
    spent.set_ylabel("epsilon spent")
    spent.set_xlabel("round")
    for axes in (quality, spent):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _is_curve(row: Mapping[str, Any]) -> bool:
    return bool(
        row["split"] == "validation"
        and row["protocol"] == "full"
        and row["slice"] == "all"
        and row["model"] == "federated"
    )
