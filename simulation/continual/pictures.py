"""The comparison as pictures: quality and privacy by period, what is remembered, quality against work."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from everbloom.errors import InputError
from simulation.campaign.periods import MAIN
from simulation.continual.privacy_time import draw_privacy_time, has_privacy
from simulation.continual.results import LearnerResult, Results

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
    if has_privacy(results):
        pictures["privacy-time.png"] = draw_privacy_time
    paths = []
    for name, draw in pictures.items():
        figure = Figure(layout="constrained")
        figure.suptitle(title)
        draw(results, figure)
        figure.savefig(folder / name, dpi=120)
        paths.append(folder / name)
    return paths


def _quality(results: Results, figure: "Figure") -> None:
    """Lines over periods; bands from the worst seed to the best."""
    figure.set_size_inches(9, 5)
    axes = figure.subplots()
    periods = np.arange(1, len(results.starts))
    popularity = results.popularity(MAIN)[1:]
    for place, result in enumerate(results.finished):
        runs = np.array([run.next_period(MAIN)[1:] for run in result.runs.values()])
        line = axes.plot(periods, runs.mean(axis=0), marker=_marker(place), markersize=4, label=result.learner.label)[0]
        axes.fill_between(periods, runs.min(axis=0), runs.max(axis=0), color=line.get_color(), alpha=0.12, linewidth=0)
    axes.plot(periods, popularity, color="grey", linestyle=":", label="popularity")
    axes.set_ylabel(f"{_QUALITY} (bands: range of the seeds)")
    _by_period(axes, results, periods)
    _beside(axes)


def _privacy(results: Results, figure: "Figure") -> None:
    """Epsilon spent at the end of each period; methods that spend alike share a line."""
    figure.set_size_inches(9, 4.5)
    axes = figure.subplots()
    periods = np.arange(len(results.starts))
    alike: dict[tuple[float | None, ...], list[str]] = {}
    for result in results.finished:
        alike.setdefault(tuple(result.spent()), []).append(result.learner.label)
    for place, (spent, labels) in enumerate(alike.items()):
        values = [np.nan if value is None else value for value in spent]
        axes.plot(periods, values, marker=_marker(place), markersize=4, label="\n".join(labels))
    axes.set_ylabel("epsilon spent by the end of the period")
    _by_period(axes, results, periods)
    axes.set_ylim(bottom=0)
    _beside(axes)


def _work(results: Results, figure: "Figure") -> None:
    """Quality over client updates after the warm start; methods of equal work stand side by side."""
    figure.set_size_inches(8, 4.5)
    axes = figure.subplots()
    points = [
        (result.learner.label, updates.mean, reached)
        for result in results.finished
        if (updates := result.estimate("clients")) is not None and (reached := result.estimate(MAIN)) is not None
    ]
    apart = 0.018 * max(work for _, work, _ in points) or 1.0
    for place, (label, work, quality) in enumerate(points):
        equal = [other for other, (_, theirs, _) in enumerate(points) if theirs == work]
        axes.errorbar(
            work + apart * (equal.index(place) - (len(equal) - 1) / 2),
            quality.mean,
            yerr=quality.half or 0.0,
            marker=_marker(place),
            markersize=5,
            capsize=2,
            linestyle="none",
            label=label,
        )
    axes.set_xlabel("client updates after the warm start (equal ones side by side)")
    axes.set_ylabel(f"{_QUALITY}, mean")
    axes.grid(alpha=0.3)
    _focus(axes, np.array([quality.mean for _, _, quality in points]))
    _beside(axes)


def _focus(axes: "Axes", means: "np.ndarray[Any, Any]") -> None:
    """Shows the means well: the intervals of two seeds are so wide that nothing else would be seen."""
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(0.0, bottom, low - 0.5 * high), max(min(top, 1.5 * high), 1e-6))


def _forgetting(results: Results, figure: "Figure") -> None:
    """A heat map per method: rows the last period learnt, columns the period tested."""
    shown = results.finished
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    matrices = [result.matrix()[:, 1:] for result in shown]
    low, high = (float(edge([edge(matrix[~np.isnan(matrix)]) for matrix in matrices])) for edge in (np.min, np.max))
    last = len(results.starts) - 1
    side = max(2.6, 0.24 * last)
    figure.set_size_inches(1.2 + columns * side, 0.9 + rows * side)
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
