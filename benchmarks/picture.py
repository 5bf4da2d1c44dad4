"""Scaling curves as one picture: above clients per second, below peak memory, a column for each thing that is varied."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BLUE, _RED = "#33658a", "#b5484a"


def draw(curves: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Writes a PNG; axes are logarithmic and start at nothing where they can."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    drawn = {name: [point for point in points if point["at"] is not None] for name, points in curves.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return
    figure, axes = pyplot.subplots(
        2, len(drawn), figsize=(3.2 * len(drawn), 5), squeeze=False, sharex="col", sharey="row", layout="constrained"
    )
    for column, (name, points) in enumerate(drawn.items()):
        at = [point["at"] for point in points]
        rates = [point["clients_per_second"] for point in points]
        speed, memory = axes[0, column], axes[1, column]
        middle = [rate["median"] for rate in rates]
        spread = [
            [m - r["low"] for m, r in zip(middle, rates, strict=True)],
            [r["high"] - m for m, r in zip(middle, rates, strict=True)],
        ]
        speed.errorbar(at, middle, yerr=spread, color=_BLUE, marker="o", markersize=4, linewidth=1.2, capsize=2)
        memory.plot(
            at, [point["peak_memory_mb"] for point in points], color=_RED, marker="o", markersize=4, linewidth=1.2
        )
        memory.set_xscale("log")
        memory.set_xlabel(name)
        for axis in (speed, memory):
            axis.grid(alpha=0.25, linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
    for row in axes:
        row[0].set_ylim(bottom=0)  # shared by the row, once all of it is drawn
    axes[0, 0].set_ylabel("clients per second")
    axes[1, 0].set_ylabel("peak memory, MB")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
