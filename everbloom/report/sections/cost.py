"""What it cost: time, traffic and memory."""

from collections.abc import Sequence

from everbloom.report.charts.frame import table
from everbloom.report.charts.lines import Axis, Line, line_chart
from everbloom.report.groups import Group
from everbloom.report.markup import joined
from everbloom.report.section import Section, elapsed, size


def cost(groups: Sequence[Group]) -> Section | None:
    """None before the first round."""
    if not all(group.first.rounds for group in groups):
        return None
    rows = []
    for group in groups:
        run = group.first
        clients, failed, up, down, seconds = (
            run.total(key) for key in ("clients", "failed", "bytes_up", "bytes_down", "seconds")
        )
        memory = "–" if run.summary is None else size(1e6 * run.summary["peak_memory_mb"])
        each = size(up / clients) if clients else "–"
        rows.append(
            [group.label, f"{clients:,.0f}", f"{failed:,.0f}", elapsed(seconds), size(up), size(down), each, memory]
        )
    head = [
        "Run",
        "Updates",
        "Failed",
        "Time of rounds",
        "Sent by clients",
        "Sent to clients",
        "An update",
        "Peak memory",
    ]
    lines = [
        Line(
            group.label if len(groups) > 1 else "a round",
            place,
            [(float(group.first.place(row)), float(row["seconds"])) for row in group.first.rounds],
        )
        for place, group in enumerate(groups)
    ]
    note = "Wall time of the machine that simulated all clients of a round; no device is that slow, or that fast."
    chart = line_chart("Seconds a round", lines, Axis("round"), "seconds", note)
    return Section("cost", "Cost", joined(table(head, rows), chart))
