"""A sweep as a picture: the value by trial with the best so far, and what each key mattered."""

from pathlib import Path
from typing import TYPE_CHECKING

from everbloom.errors import InputError
from simulation.sweep.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_sweep(results: Results, path: Path) -> Path:
    """Writes a PNG and returns its path. Raises `InputError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("a picture needs matplotlib: pip install 'everbloom[demo]'") from None
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(f"{results.sweep.base.name}: {len(results.trials)} trials")
    left, right = figure.subplots(1, 2)
    _history(left, results)
    _importance(right, results)
    figure.savefig(path, dpi=120)
    return path


def _history(axes: "Axes", results: Results) -> None:
    pick = max if results.sweep.config.objective.direction == "maximize" else min
    done = [(trial.number, trial.value) for trial in results.trials if trial.value is not None]
    given_up = [
        (trial.number, trial.last) for trial in results.trials if trial.status == "pruned" and trial.last is not None
    ]
    axes.plot(*zip(*done, strict=True), "o", markersize=4, label="trial")
    if given_up:
        axes.plot(*zip(*given_up, strict=True), "x", color="grey", markersize=4, label="given up, when it was")
    best = [pick(value for _, value in done[: place + 1]) for place in range(len(done))]
    axes.step([number for number, _ in done], best, where="post", color="black", linewidth=1, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"validation {results.sweep.config.objective.metric}")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)


def _importance(axes: "Axes", results: Results) -> None:
    if not results.importance:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "too few finished trials to say what matters", ha="center", va="center")
        return
    shares = list(results.importance.items())[::-1]
    axes.barh([key for key, _ in shares], [share for _, share in shares])
    axes.set_xlabel("share of the variance between trials (fANOVA)")
    axes.tick_params(axis="y", labelsize=8)
