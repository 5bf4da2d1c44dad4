"""The comparison as pictures: quality and privacy by period, what is remembered, quality against work."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everbloom.errors import InputError
from simulation.continual.results import MAIN, LearnerResult, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*Xh<>d"
_QUALITY = f"{MAIN.upper()} on the next period"


def draw_comparison(results: Results, title: str, folder: Path) -> list[Path]:
    """Writes the PNGs and returns them. Raises `InputError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'everbloom[demo]'") from None
    pictures = {"quality.png": _quality, "forgetting.png": _forgetting, "work.png": _work}
    if any(value is not None for result in results.finished for value in result.spent()):
        pictures["privacy.png"] = _privacy
    paths = []
    for name, draw in pictures.items():
        figure = Figure(layout="constrained")
        figure.suptitle(title)
        draw(results, figure)
        figure.savefig(folder / name, dpi=120)
        paths.append(folder / name)
    return paths


def _quality(results: Results, figure: "Figure") -> None:
    """Lines over periods with bands over seeds."""
    figure.set_size_inches(9, 5)
    axes = figure.subplots()
    periods = np.arange(1, len(results.starts))
    for place, result in enumerate(results.finished):
        estimates = result.by_period(MAIN)[1:]
        mean = np.array([np.nan if estimate is None else estimate.mean for estimate in estimates])
        half = np.array([0.0 if estimate is None else estimate.half or 0.0 for estimate in estimates])
        line = axes.plot(periods, mean, marker=_marker(place), markersize=4, label=result.learner.label)[0]
        axes.fill_between(periods, mean - half, mean + half, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.plot(periods, results.popularity(MAIN)[1:], color="grey", linestyle=":", label="popularity")
    axes.set_ylabel(_QUALITY)
    _by_period(axes, results, periods)
    _beside(axes)


def _privacy(results: Results, figure: "Figure") -> None:
    """Epsilon spent at the end of each period."""
    figure.set_size_inches(9, 4.5)
    axes = figure.subplots()
    periods = np.arange(len(results.starts))
    for place, result in enumerate(results.finished):
        spent = [np.nan if value is None else value for value in result.spent()]
        axes.plot(periods, spent, marker=_marker(place), markersize=4, label=result.learner.label)
    axes.set_ylabel("epsilon spent by the end of the period")
    _by_period(axes, results, periods)
    axes.set_ylim(bottom=0)
    _beside(axes)


def _work(results: Results, figure: "Figure") -> None:
    """Quality over client updates after the warm start."""
    figure.set_size_inches(7.5, 4.5)
    axes = figure.subplots()
    for place, result in enumerate(results.finished):
        work, quality = result.estimate("clients"), result.estimate(MAIN)
        if work is not None and quality is not None:
            axes.errorbar(
                work.mean,
                quality.mean,
                yerr=quality.half or 0.0,
                marker=_marker(place),
                capsize=3,
                linestyle="none",
                label=result.learner.label,
            )
    axes.set_xlabel("client updates after the warm start")
    axes.set_ylabel(f"{_QUALITY}, mean")
    axes.grid(alpha=0.3)
    _beside(axes)


def _forgetting(results: Results, figure: "Figure") -> None:
    """A heat map per method: rows the last period learnt, columns the period tested."""
    shown = results.finished
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    matrices = [result.matrix()[:, 1:] for result in shown]
    low, high = (float(edge([edge(matrix[~np.isnan(matrix)]) for matrix in matrices])) for edge in (np.min, np.max))
    last = len(results.starts) - 1
    figure.set_size_inches(1.2 + columns * max(2.6, 0.42 * last), 0.9 + rows * max(2.6, 0.42 * last))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    image: Any = None
    for axes, result, matrix in zip(grid.flat, shown, matrices, strict=False):
        image = axes.imshow(
            matrix, vmin=low, vmax=high, cmap="viridis", extent=(0.5, last + 0.5, last + 0.5, -0.5), aspect="auto"
        )
        axes.set_title(_short(result), fontsize=9)
        _mark(axes, matrix, low, high)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    figure.supxlabel("period tested", fontsize=10)
    figure.supylabel("last period learnt", fontsize=10)
    figure.colorbar(image, ax=grid, label=f"{MAIN.upper()} on {shown[0].memory}", shrink=0.8)


def _mark(axes: "Axes", matrix: "np.ndarray[Any, Any]", low: float, high: float) -> None:
    """Values in the fields where they can be read; whole periods on both axes."""
    periods = len(matrix)
    step = max(1, periods // 8)
    axes.set_xticks(range(1, periods, step))
    axes.set_yticks(range(0, periods, step))
    if periods <= 7:
        for (row, column), value in np.ndenumerate(matrix):
            if not np.isnan(value):
                dark = value < (low + high) / 2
                axes.text(
                    column + 1,
                    row,
                    f"{value:.3f}".removeprefix("0"),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else "black",
                )


def _by_period(axes: "Axes", results: Results, periods: "np.ndarray[Any, Any]") -> None:
    """Periods by the day they begin with; as many names as fit."""
    step = max(1, -(-len(periods) // 12))
    names = [results.starts[period] or str(period) for period in periods[::step]]
    dated = any(results.starts)
    axes.set_xticks(periods[::step], names, rotation=30 if dated else 0, ha="right" if dated else "center", fontsize=8)
    axes.set_xlabel("period, by its first day" if dated else "period")
    axes.grid(alpha=0.3)


def _beside(axes: "Axes") -> None:
    """The legend, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def _marker(place: int) -> str:
    return _MARKERS[place % len(_MARKERS)]


def _short(result: LearnerResult) -> str:
    label = result.learner.label
    return label if len(label) <= 28 else label.replace(":", "\n", 1)
