"""What a run over periods forgot: a heat map of quality on each period after each period."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everbloom.continual.measures import average_forgetting, backward_transfer, final_mean, plasticity, prequential_mean
from everbloom.evaluation.records import FEDERATED
from everbloom.report.charts.frame import table
from everbloom.report.groups import Group
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.records import RunRecords
from everbloom.report.section import Section, measure_name, shared_measures
from everbloom.report.sections.quality import tabs

_SHADES = 10
_SUMMARIES = (
    ("next period", prequential_mean),
    ("just learnt", plasticity),
    ("all, at the end", final_mean),
    ("forgetting", average_forgetting),
    ("backward transfer", backward_transfer),
)


def forgetting(groups: Sequence[Group]) -> Section | None:
    """None without [continual]."""
    continual = [group for group in groups if group.first.experiment.continual is not None]
    if not continual:
        return None
    panels = []
    for measure in shared_measures(continual)[:2]:
        matrices = [np.mean([matrix(run, measure) for run in group.runs], axis=0) for group in continual]
        rows = [
            [group.label, *(_shown(summary(found)) for _, summary in _SUMMARIES)]
            for group, found in zip(continual, matrices, strict=True)
        ]
        summaries = table(["Method", *(name for name, _ in _SUMMARIES)], rows, caption=measure_name(measure))
        maps = [_heat_map(group.label, found, measure) for group, found in zip(continual, matrices, strict=True)]
        panels.append((measure_name(measure), joined(summaries, tag("div", maps, class_="maps"))))
    whom = "people whose devices never train (the panel)" if _panel(continual[0].first) else "everybody"
    told = (
        f"Each row is the model after a period, each column the period it is tested on, measured on {whom}. "
        "In a dashed cell the model has not learnt that period yet."
    )
    return Section(
        "forgetting", "What is remembered", joined(tag("p", told, class_="lead"), tabs("forgetting", panels))
    )


def matrix(run: RunRecords, measure: str) -> NDArray[np.float64]:
    """[periods, periods] as in `everbloom.continual.measures`: row, the last period learnt; column, the period tested; NaN where it was not."""
    whom = "panel" if _panel(run) else "all"
    periods = len(run.starts)
    found = np.full((periods, periods), np.nan)
    for row in run.metrics:
        if (
            row["split"] == "test"
            and row["model"] == FEDERATED
            and row["protocol"] == "full"
            and row["slice"] == whom
            and "after" in row
        ):
            found[row["after"], row["period"]] = row[measure]
    return found


def _panel(run: RunRecords) -> bool:
    return any(row["slice"] == "panel" for row in run.metrics)


def _heat_map(label: str, found: NDArray[np.float64], measure: str) -> Markup:
    periods = len(found)
    known = found[~np.isnan(found)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    head = tag("tr", tag("td"), [tag("th", str(period), scope="col") for period in range(1, periods)])
    rows = [
        tag(
            "tr",
            tag("th", f"after {after}", scope="row"),
            [_cell(found, after, period, low, high) for period in range(1, periods)],
        )
        for after in range(periods)
        if not np.isnan(found[after]).all()
    ]
    caption = tag("caption", f"{label}: {measure_name(measure)} on period …")
    heat = tag(
        "table", caption, tag("thead", head), tag("tbody", rows), class_="heat" + (" dense" if periods > 9 else "")
    )
    return tag("div", heat, class_="scroll", tabindex="0", role="region", aria_label=f"{label}: what is remembered")


def _cell(found: NDArray[np.float64], after: int, period: int, low: float, high: float) -> Markup:
    value = float(found[after, period])
    if math.isnan(value):
        return tag("td")
    shade = round((value - low) / (high - low) * _SHADES) if high > low else 0
    ahead = " ahead" if after < period else ""
    return tag(
        "td",
        f"{value:.3f}".removeprefix("0"),
        class_=f"h{shade}{ahead}",
        title=f"after period {after}, on period {period}: {value:.4f}",
    )


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
