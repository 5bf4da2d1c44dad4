"""Where it comes from: the experiment files, the machine and the versions."""

from collections.abc import Sequence
from typing import Any

from everbloom.report.charts.frame import table
from everbloom.report.groups import Group
from everbloom.report.markup import joined, tag
from everbloom.report.section import Section


def origin(groups: Sequence[Group]) -> Section:
    """Every group's experiment file, folded away; the environment of the first run."""
    files = [
        tag(
            "details",
            tag("summary", f"{group.label}: experiment.toml"),
            tag("pre", tag("code", group.first.text)),
            open=len(groups) == 1,
        )
        for group in groups
    ]
    environment = groups[0].first.environment
    rows = [[name, str(value)] for name, value in _flat(environment)]
    again = tag(
        "p",
        "The same result again: ",
        tag("code", "everbloom run experiment.toml"),
        ", with the file below.",
        class_="lead",
    )
    return Section(
        "origin",
        "Experiment file and environment",
        joined(again, files, table(["Environment", "of the first run"], rows) if rows else None),
    )


def _flat(environment: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in environment.items():
        found += list(value.items()) if isinstance(value, dict) else [(name, "–" if value is None else value)]
    return found
