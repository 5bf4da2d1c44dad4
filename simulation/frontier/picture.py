"""The frontier as a picture: quality by epsilon with intervals, a curve per unit and mechanism."""

from pathlib import Path
from typing import TYPE_CHECKING

from everbloom.errors import InputError
from everbloom.intervals import Estimate
from simulation.frontier.grid import written
from simulation.frontier.results import MEASURES, PointResult, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_frontier(results: Results, title: str, path: Path) -> Path:
    """Writes a PNG and returns its path; no privacy and popularity are levels with bands. Raises `InputError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullFormatter
    except ImportError:
        raise InputError("a picture needs matplotlib: pip install 'everbloom[demo]'") from None
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    figure.suptitle(title)
    curves = _curves(results)
    epsilons = sorted({_epsilon(result) for curve in curves.values() for result in curve})
    for axes, measure in zip(figure.subplots(1, len(MEASURES)), MEASURES, strict=True):
        for label, curve in curves.items():
            estimates = [result.quality[measure] for result in curve]
            axes.errorbar(
                [_epsilon(result) for result in curve],
                [estimate.mean for estimate in estimates],
                yerr=[estimate.half or 0.0 for estimate in estimates],
                marker="o",
                markersize=4,
                capsize=3,
                label=label,
            )
        for result in results.points:
            if result.point.epsilon is None and measure in result.quality:
                _level(axes, result.quality[measure], "no privacy", "black", "--")
        if measure in results.popularity:
            _level(axes, results.popularity[measure], "popularity", "grey", ":")
        axes.set_xscale("log")
        if epsilons:
            axes.set_xticks(epsilons, [written(epsilon) for epsilon in epsilons])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("epsilon")
        axes.set_ylabel(f"{measure.upper()}, test, all items ranked")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=120)
    return path


def _curves(results: Results) -> dict[str, list[PointResult]]:
    """label -> its finished points by rising epsilon."""
    curves: dict[str, list[PointResult]] = {}
    for result in sorted((result for result in results.points if result.point.epsilon is not None), key=_epsilon):
        if result.quality:
            curves.setdefault(result.point.line, []).append(result)
    return curves


def _epsilon(result: PointResult) -> float:
    assert result.point.epsilon is not None
    return result.point.epsilon


def _level(axes: "Axes", estimate: Estimate, label: str, colour: str, style: str) -> None:
    axes.axhline(estimate.mean, color=colour, linestyle=style, label=label)
    if estimate.half:
        axes.axhspan(
            estimate.mean - estimate.half, estimate.mean + estimate.half, color=colour, alpha=0.12, linewidth=0
        )
