"""The loops as a picture: a panel a measure, a curve a loop over the steps, with intervals."""

from pathlib import Path

from everbloom.errors import InputError
from simulation.feedback.arms import CONTROL
from simulation.feedback.results import Results

_PANELS = {
    "utility": "utility of what is shown",
    "gini": "Gini of exposure",
    "homogeneity": "homogeneity of lists",
    "exposure_bias": "exposure bias to the popular",
    "taste_distance": "distance of clicks from tastes",
    "amplified_homogeneity": f"model's homogeneity\nbeyond the {CONTROL} model's",
}
"""measure -> title of its panel."""


def draw_feedback(results: Results, title: str, path: Path) -> None:
    """Writes a PNG. Raises `InputError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise InputError("a picture needs matplotlib: pip install 'everbloom[demo]'") from None
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(2, 3)
    steps = results.steps()
    for axes, (measure, name) in zip(panels.flat, _PANELS.items(), strict=True):
        for place, label in enumerate(results.labels()):
            found = [(step, results.estimate(label, step, measure)) for step in steps]
            curve = [(step, estimate) for step, estimate in found if estimate is not None]
            colour = "grey" if label == CONTROL else f"C{place - 1}"
            at, means = [step for step, _ in curve], [estimate.mean for _, estimate in curve]
            halves = [estimate.half or 0.0 for _, estimate in curve]
            style = "--" if label == CONTROL else "-"
            axes.plot(at, means, marker="o", markersize=3, color=colour, linestyle=style, label=label)
            low, high = ([mean + sign * half for mean, half in zip(means, halves, strict=True)] for sign in (-1, 1))
            axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(name, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("step")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    figure.savefig(path, dpi=120)
