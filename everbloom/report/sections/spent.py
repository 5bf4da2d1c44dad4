"""Epsilon spent by round, and quality against epsilon where several runs differ in it."""

from collections.abc import Sequence

from everbloom.report.charts.lines import Axis, Line, line_chart
from everbloom.report.groups import Group
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.section import BASELINES, Section, ends, measure_name, shared_measures
from everbloom.report.sections.quality import round_axis, tabs


def spent(groups: Sequence[Group]) -> Section | None:
    """None where no run is private."""
    private = [group for group in groups if group.first.spent is not None]
    if not private:
        return None
    lines = [
        Line(
            group.label if len(groups) > 1 else "spent",
            groups.index(group),
            [
                (float(group.first.place(row)), float(row["epsilon"]))
                for row in group.first.rounds
                if row["epsilon"] is not None
            ],
        )
        for group in private
    ]
    budgets = dict.fromkeys(group.first.experiment.privacy.epsilon for group in private)
    if len(budgets) == 1 and (budget := next(iter(budgets))) is not None:
        lines.append(Line("budget", BASELINES, (), level=budget))
    note = "Of the device that was asked most often, from the first round on: what all its messages so far may tell."
    return Section(
        "epsilon",
        "Epsilon spent",
        line_chart("Epsilon spent, by round", lines, round_axis(groups[0].first), "epsilon", note),
    )


def frontier(groups: Sequence[Group]) -> Section | None:
    """None unless at least two private groups differ in epsilon."""
    curves = _curves(groups)
    if max((len(points) for points in curves.values()), default=0) < 2:
        return None
    panels = [(measure_name(measure), _chart(groups, curves, measure)) for measure in shared_measures(groups)]
    told = tag(
        "p",
        "Quality on the test against the budget of one device.",
        class_="lead",
    )
    return Section("frontier", "Privacy against utility", joined(told, tabs("frontier", panels)))


def _curves(groups: Sequence[Group]) -> dict[str, list[tuple[float, Group]]]:
    """unit and mechanism -> (epsilon, group), by rising epsilon."""
    found: dict[str, list[tuple[float, Group]]] = {}
    for group in groups:
        privacy = group.first.experiment.privacy
        if privacy.epsilon is not None and privacy.mechanism is not None:
            found.setdefault(f"{privacy.unit}, {privacy.mechanism.name}", []).append((privacy.epsilon, group))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def _chart(groups: Sequence[Group], curves: dict[str, list[tuple[float, Group]]], measure: str) -> Markup:
    lines = []
    for colour, (name, members) in enumerate(curves.items()):
        known = [(epsilon, estimate) for epsilon, group in members if (estimate := group.reached(measure)) is not None]
        if known:
            band = [ends(estimate) for _, estimate in known]
            lines.append(Line(name, colour, [(epsilon, estimate.mean) for epsilon, estimate in known], band))
    without = next((group.reached(measure) for group in groups if group.first.experiment.privacy.unit == "none"), None)
    popular = groups[0].reached(measure, model="popularity")
    for place, (label, estimate) in enumerate((("no privacy", without), ("popularity", popular))):
        if estimate is not None:
            lines.append(Line(label, BASELINES + place, (), level=estimate.mean))
    ticks = sorted({epsilon for members in curves.values() for epsilon, _ in members})
    axis = Axis(
        "epsilon (logarithmic)", log=True, ticks=[(epsilon, f"{epsilon:g}") for epsilon in ticks], word="epsilon"
    )
    return line_chart(f"{measure_name(measure)} on the test, by epsilon", lines, axis, measure_name(measure))
