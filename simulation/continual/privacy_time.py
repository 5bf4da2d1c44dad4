"""Privacy, utility and time in one picture: a panel a method, a line an epsilon, quality by period."""

from typing import TYPE_CHECKING

import numpy as np

from simulation.campaign.periods import MAIN
from simulation.continual.results import LearnerResult, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4


def has_privacy(results: Results) -> bool:
    """Whether there is something to draw: methods with several epsilons, or one asked for."""
    return any(result.learner.privacy is not None for result in results.finished)


def draw_privacy_time(results: Results, figure: "Figure") -> None:
    """Lines are means over seeds, bands reach from the worst seed to the best; each level is labelled at its last period."""
    methods: dict[str, list[LearnerResult]] = {}
    for result in results.finished:
        methods.setdefault(result.learner.method_label, []).append(result)
    columns = min(_COLUMNS, len(methods))
    rows = -(-len(methods) // columns)
    figure.set_size_inches(2.2 + 2.9 * columns, 0.9 + 3.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    colours = _colours(results)
    for axes, (method, shown) in zip(grid.flat, methods.items(), strict=False):
        for result in shown:
            _line(axes, result, colours[_budget(result)])
        axes.plot(_periods(results), results.popularity(MAIN)[1:], color="grey", linestyle=":", label="popularity")
        axes.set_title(method, fontsize=10)
        axes.grid(alpha=0.3)
        _dates(axes, results)
    for axes in grid.flat[len(methods) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(bottom=0)
    figure.supxlabel("period, by its first day" if any(results.starts) else "period", fontsize=10)
    figure.supylabel(f"{MAIN.upper()} on the next period", fontsize=10)
    known = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    order = [*colours, "popularity"]
    figure.legend([known[label] for label in order], order, loc="outside right upper", fontsize=9, frameon=False)


def _line(axes: "Axes", result: LearnerResult, colour: str) -> None:
    runs = np.array([run.next_period(MAIN)[1:] for run in result.runs.values()])
    periods = np.arange(1, runs.shape[1] + 1)
    private = result.learner.privacy is None or result.learner.privacy.epsilon is not None
    style = "-" if private else "--"
    axes.plot(
        periods, runs.mean(axis=0), color=colour, linestyle=style, marker="o", markersize=4, label=_budget(result)
    )
    axes.fill_between(periods, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _colours(results: Results) -> dict[str, str]:
    """budget -> colour, from a small epsilon to a large one; black without privacy."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    found = {
        _budget(result): None if result.learner.privacy is None else result.learner.privacy.epsilon
        for result in results.finished
    }
    ordered = sorted(found, key=lambda budget: np.inf if found[budget] is None else float(found[budget] or 0))
    private = [budget for budget in ordered if found[budget] is not None]
    shades = colormaps["plasma"](np.linspace(0.75, 0.1, max(len(private), 1)))
    return {budget: to_hex(shades[private.index(budget)]) if budget in private else "#222222" for budget in ordered}


def _budget(result: LearnerResult) -> str:
    privacy = result.learner.privacy
    return "the experiment's" if privacy is None else privacy.budget


def _periods(results: Results) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.arange(1, len(results.starts))


def _dates(axes: "Axes", results: Results) -> None:
    """Whole periods, as many names as fit."""
    periods = _periods(results)
    step = max(1, -(-len(periods) // 6))
    names = [results.starts[period] or str(period) for period in periods[::step]]
    dated = any(results.starts)
    axes.set_xticks(periods[::step], names, rotation=30 if dated else 0, ha="right" if dated else "center", fontsize=8)
