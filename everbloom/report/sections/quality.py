"""Quality by round, and by period where there are several."""

from collections.abc import Sequence

from everbloom.evaluation.records import FEDERATED
from everbloom.report.charts.frame import BASELINES
from everbloom.report.charts.lines import Axis, Line, line_chart
from everbloom.report.groups import Group
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.records import RunRecords
from everbloom.report.section import Section, baselines_of, mean_line, measure_name, shared_measures


def quality(groups: Sequence[Group]) -> Section | None:
    """One panel a measure; None where nothing was measured."""
    panels = [
        (measure_name(measure), joined(*drawn))
        for measure in shared_measures(groups)
        if (
            drawn := [chart for chart in (_by_round(groups, measure), _by_period(groups, measure)) if chart is not None]
        )
    ]
    return Section("quality", "Quality by round and period", tabs("quality", panels)) if panels else None


def tabs(name: str, panels: Sequence[tuple[str, Markup]]) -> Markup:
    """One panel at a time; all of them without a script."""
    if len(panels) == 1:
        return panels[0][1]
    buttons = [
        tag(
            "button",
            label,
            type="button",
            role="tab",
            id=f"{name}-tab-{place}",
            aria_controls=f"{name}-panel-{place}",
            aria_selected="true" if place == 0 else "false",
        )
        for place, (label, _) in enumerate(panels)
    ]
    bodies = [
        tag(
            "div",
            tag("h3", label, class_="panel-title"),
            body,
            class_="panel",
            role="tabpanel",
            id=f"{name}-panel-{place}",
            aria_labelledby=f"{name}-tab-{place}",
        )
        for place, (label, body) in enumerate(panels)
    ]
    return tag("div", tag("div", buttons, class_="tabs", role="tablist", aria_label="Measure"), bodies, class_="tabbed")


def _by_round(groups: Sequence[Group], measure: str) -> Markup | None:
    lines = quality_lines(groups, measure)
    if not lines:
        return None
    return line_chart(
        f"{measure_name(measure)} on validation, by round", lines, round_axis(groups[0].first), measure_name(measure)
    )


def quality_lines(groups: Sequence[Group], measure: str) -> list[Line]:
    """A measure on validation: every group's, as the server measured it and as devices told it, and the baselines of the first; none where nothing
    was measured."""
    labels = [group.label if len(groups) > 1 else FEDERATED for group in groups]
    curves = [
        (label + told, [run.curve(measure, protocol=protocol) for run in group.runs])
        for protocol, told in (("full", ""), ("on-devices", ", told by devices"))
        for label, group in zip(labels, groups, strict=True)
    ]
    lines = [mean_line(label, colour, points) for colour, (label, points) in enumerate(curves)]
    lines = [line for line in lines if line.points]
    if not lines:
        return []
    end = max(x for line in lines for x, _ in line.points)
    for place, name in enumerate(baselines_of(groups)):
        if points := groups[0].first.curve(measure, name):
            lines.append(_stairs(name, BASELINES + place, points, end))
    return lines


def round_axis(run: RunRecords) -> Axis:
    """Rounds of the whole run, with where periods begin."""
    few = len(run.starts) < 20
    return Axis(
        "round", marks=[(start, f"period {period}") for period, start in enumerate(run.starts) if period and few]
    )


def _stairs(name: str, colour: int, points: Sequence[tuple[float, float]], end: float) -> Line:
    """A baseline is measured once a period: one level, or one for each period's rounds."""
    if len(points) == 1:
        return Line(name, colour, (), level=points[0][1])
    ends = [*(x for x, _ in points[1:]), end]
    return Line(
        name, colour, [place for (x, y), until in zip(points, ends, strict=True) for place in ((x, y), (until, y))]
    )


def _by_period(groups: Sequence[Group], measure: str) -> Markup | None:
    lines = []
    names = [
        (group, FEDERATED, group.label if len(groups) > 1 else FEDERATED, place) for place, group in enumerate(groups)
    ]
    names += [(groups[0], name, name, BASELINES + place) for place, name in enumerate(baselines_of(groups))]
    for group, model, label, colour in names:
        curves = [
            [
                (float(row["period"]), float(row[measure]))
                for row in run.tests(model)
                if row["slice"] == "all" and measure in row
            ]
            for run in group.runs
        ]
        line = mean_line(label, colour, curves)
        if line.points:
            lines.append(line)
    if not lines or max(len(line.points) for line in lines) < 2:
        return None
    title = f"{measure_name(measure)} on each period, before it is learnt"
    return line_chart(title, lines, Axis("period"), measure_name(measure))
