"""Attacks beside the claim, where an audit of the run lies in its directory."""

from collections.abc import Sequence
from typing import Any

from everbloom.report.charts.bars import bar_chart
from everbloom.report.charts.frame import Key, table
from everbloom.report.groups import Group
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.section import Section


def audit(groups: Sequence[Group]) -> Section:
    """Where there is none, the section says how to make one."""
    audited = [run for group in groups for run in group.runs if run.audit is not None]
    if not audited:
        path = groups[0].first.path
        told = joined(
            "Nobody has attacked this run yet. ",
            tag("code", f"everbloom audit {path} --json {path / 'audit.json'}"),
            " does, and the next report shows it.",
        )
        return Section("audit", "Audit against the claim", tag("p", told, class_="missing"))
    parts = [
        joined(tag("h3", run.path.name) if len(audited) > 1 else None, _audited(run.audit))
        for run in audited
        if run.audit is not None
    ]
    return Section("audit", "Audit against the claim", joined(parts))


def _audited(found: Any) -> Markup:
    bounds = _best(found["bounds"], ("mechanism", "about"), "epsilon_lower")
    if found["exceeded"]:
        verdict = tag("p", "A claim is refuted: an attack proves more than was claimed.", class_="verdict bad")
    elif bounds:
        verdict = tag(
            "p",
            f"No claim is refuted: all {len(found['bounds'])} lower bounds are below what is claimed.",
            class_="verdict good",
        )
    else:
        verdict = tag("p", "There is no claim to hold anything against.", class_="verdict")
    return joined(
        verdict,
        _bounds(bounds) if bounds else None,
        _items(found["item_inference"]),
        _members(found["membership_inference"]),
    )


def _bounds(bounds: Sequence[Any]) -> Markup:
    names = [f"{bound['mechanism']}: {bound['about']}" for bound in bounds]
    rows = [
        [
            name,
            bound["method"],
            f"{bound['runs']:,}",
            f"{bound['epsilon_claimed']:.3g}",
            f"{bound['epsilon_lower']:.3g}",
        ]
        for name, bound in zip(names, bounds, strict=True)
    ]
    chart = bar_chart(
        "Claimed and proved epsilon",
        [bound["about"] for bound in bounds],
        [
            (Key("claimed", 0), [bound["epsilon_claimed"] for bound in bounds]),
            (Key("proved by attack", 1), [bound["epsilon_lower"] for bound in bounds]),
        ],
        "what was released",
        "epsilon",
    )
    return joined(
        chart,
        table(
            ["What was released", "Method", "Runs", "Claimed", "At least"],
            rows,
            caption="The highest lower bound of each",
        ),
    )


def _items(rows: Sequence[Any]) -> Markup | None:
    best = _best(rows, ("private", "messages"), "auc")
    if not best:
        return None
    told = [
        [
            _how(row),
            f"{row['messages']}",
            row["attack"],
            f"{row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})",
        ]
        for row in best
    ]
    caption = "Which items did a user touch, judged from updates? The best attack; an AUC of .5 is chance"
    return table(["Privacy", "Updates seen", "Attack", "AUC"], told, caption=caption)


def _members(rows: Sequence[Any]) -> Markup | None:
    if not rows:
        return None
    told = [
        [
            _how(row),
            row["attack"],
            f"{row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})",
            f"{row['power']:.1%}",
        ]
        for row in rows
    ]
    return table(
        ["Privacy", "Attack", "AUC", "Found at 1% false alarms"], told, caption="Who was in the model's training?"
    )


def _how(row: Any) -> str:
    return "as claimed" if row["private"] else "without privacy"


def _best(rows: Sequence[Any], keys: Sequence[str], value: str) -> list[Any]:
    """The row with the highest value for each combination of the keys."""
    found: dict[tuple[Any, ...], Any] = {}
    for row in rows:
        place = tuple(row[key] for key in keys)
        if place not in found or row[value] > found[place][value]:
            found[place] = row
    return list(found.values())
