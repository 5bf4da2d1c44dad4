"""Who and what is served how well: the slices of the test."""

from collections.abc import Sequence

from everbloom.evaluation.records import FEDERATED
from everbloom.report.charts.bars import bar_chart
from everbloom.report.charts.frame import Key
from everbloom.report.groups import Group
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.section import BASELINES, Section, baselines_of, measure_name, shared_measures
from everbloom.report.sections.quality import tabs

_MOST = 6
"""Series that a group of bars still shows apart."""


def slices(groups: Sequence[Group]) -> Section | None:
    """None where slices were not measured."""
    names = [name for name in dict.fromkeys(row["slice"] for row in groups[0].first.tests()) if name != "all"]
    if not names:
        return None
    shown = ["all", *names]
    panels = [(measure_name(measure), _chart(groups, shown, measure)) for measure in shared_measures(groups)]
    told = (
        "New users have no event before the test. Short, medium and long histories have 1 to 10, 11 to 50 and more events. "
        "Tail items share the last fifth of all interactions."
    )
    return Section("slices", "Slices", joined(tag("p", told, class_="lead"), tabs("slices", panels)))


def _chart(groups: Sequence[Group], names: Sequence[str], measure: str) -> Markup:
    models = [
        (group, FEDERATED, Key(group.label if len(groups) > 1 else FEDERATED, place))
        for place, group in enumerate(groups)
    ][:_MOST]
    models += [(groups[0], name, Key(name, BASELINES + place)) for place, name in enumerate(baselines_of(groups))]
    series = []
    for group, model, key in models:
        found = [group.reached(measure, model=model, slice=name) for name in names]
        if any(estimate is not None for estimate in found):
            series.append((key, [None if estimate is None else estimate.mean for estimate in found]))
    left = len(groups) - _MOST
    note = f"The first {_MOST} of {len(groups)}; all of them are in metrics.jsonl." if left > 0 else None
    words = [name.replace("-", " ") for name in names]
    return bar_chart(
        f"{measure_name(measure)} on the test, by slice", words, series, "slice", measure_name(measure), note=note
    )
