"""An audit as a table, as JSON and as a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from everbloom.errors import InputError
from everbloom.privacy.audit.roc import Area
from simulation.audit.audit import Audit
from simulation.audit.claims import Bound
from simulation.audit.items import ItemInference
from simulation.audit.membership import MembershipInference

_LITTLE = 0.1
"""Of a claim."""


def print_audit(console: Console, audit: Audit) -> None:
    """The claim, bounds beside it, what attackers learn, and a verdict."""
    console.print(audit.statement, style="dim", highlight=False)
    if audit.note is not None:
        console.print(f"note: {audit.note}", style="yellow", highlight=False, soft_wrap=True)
    for name in dict.fromkeys(bound.mechanism for bound in audit.bounds):
        console.print(_bounds_table(name, [bound for bound in audit.bounds if bound.mechanism == name]))
    console.print(_items_table(audit.items))
    if audit.members:
        console.print(_members_table(audit.members))
    console.print(verdict(audit), style="bold red" if audit.exceeded else "bold", highlight=False, soft_wrap=True)


def verdict(audit: Audit) -> str:
    """One line."""
    if not audit.bounds:
        return "no claim to hold anything against"
    worst = max(audit.bounds, key=lambda bound: bound.epsilon_lower - bound.epsilon_claimed)
    if audit.exceeded:
        return f"CLAIM EXCEEDED: {worst.mechanism}, {worst.about}: epsilon is at least {worst.epsilon_lower:.3g}, claimed {worst.epsilon_claimed:.3g}"
    told = f"no claim is refuted: all {len(audit.bounds)} lower bounds are below what is claimed"
    proved = max(bound.epsilon_lower / bound.epsilon_claimed for bound in audit.bounds)
    return (
        told
        if proved > _LITTLE
        else f"{told}; but so few runs prove next to nothing of so small an epsilon: more with --runs"
    )


def to_json(audit: Audit) -> dict[str, Any]:
    """Everything, curves included."""
    return {
        "experiment": audit.experiment,
        "statement": audit.statement,
        "note": audit.note,
        "exceeded": audit.exceeded,
        "bounds": [{**asdict(bound), "exceeded": bound.exceeded} for bound in audit.bounds],
        "item_inference": [_with_auc(asdict(found)) for found in audit.items],
        "membership_inference": [_with_auc(asdict(found)) for found in audit.members],
    }


def write_json(audit: Audit, path: Path) -> None:
    """Raises `InputError` if the file cannot be written."""
    try:
        path.write_text(json.dumps(to_json(audit), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def draw_audit(audit: Audit, path: Path) -> None:
    """ROC curves of the best item inferences; claimed beside proved epsilon. Raises `InputError` without matplotlib, or if it cannot be written."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("a picture needs matplotlib: pip install 'everbloom[demo]'") from None
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    curves, bars = figure.subplots(1, 2)
    for found in best_attacks(audit.items):
        label = f"{_how(found.private)}, {_updates(found.messages)}: {found.attack} ({found.area.value:.2f})"
        curves.plot(found.false_positive, found.true_positive, "-" if found.private else "--", label=label)
    curves.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    curves.set(xlabel="share of untouched items above", ylabel="share of touched items found")
    curves.set_title("Which items, from a client's updates")
    curves.legend(loc="lower right", fontsize=7)
    _draw_bounds(bars, best_bounds(audit.bounds))
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be drawn: {error}") from None


def best_bounds(bounds: Sequence[Bound]) -> list[Bound]:
    """The highest of each mechanism about each thing that was released."""
    best: dict[tuple[str, str], Bound] = {}
    for bound in bounds:
        key = bound.mechanism, bound.about
        if key not in best or bound.epsilon_lower > best[key].epsilon_lower:
            best[key] = bound
    return list(best.values())


def best_attacks(items: Sequence[ItemInference]) -> list[ItemInference]:
    """That with the largest area for each number of updates, with and without privacy."""
    best: dict[tuple[bool, int], ItemInference] = {}
    for found in items:
        key = found.private, found.messages
        if key not in best or found.area.value > best[key].area.value:
            best[key] = found
    return list(best.values())


def _draw_bounds(axes: Any, bounds: Sequence[Bound]) -> None:
    places = range(len(bounds))
    axes.barh([place - 0.2 for place in places], [bound.epsilon_claimed for bound in bounds], 0.4, label="claimed")
    colours = ["tab:red" if bound.exceeded else "tab:orange" for bound in bounds]
    lower = [bound.epsilon_lower for bound in bounds]
    axes.barh([place + 0.2 for place in places], lower, 0.4, color=colours, label="proved by attack")
    axes.set_yticks(list(places), [f"{bound.mechanism}\n{bound.about}" for bound in bounds], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="epsilon", title="Claimed and audited epsilon" if bounds else "No claim")
    if bounds:
        axes.legend(fontsize=8)


def _bounds_table(mechanism: str, bounds: Sequence[Bound]) -> Table:
    exceeded = any(bound.exceeded for bound in bounds)
    table = Table(title=f"epsilon: {mechanism}", title_justify="left")
    for name in ("released", "method"):
        table.add_column(name, no_wrap=True)
    for name in ("runs", "claimed", "at least", *(["verdict"] if exceeded else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for bound in bounds:
        numbers = f"{bound.runs:,}", f"{bound.epsilon_claimed:.3g}", f"{bound.epsilon_lower:.3g}"
        told = ["EXCEEDED" if bound.exceeded else ""] if exceeded else []
        table.add_row(bound.about, bound.method, *numbers, *told, style="bold red" if bound.exceeded else None)
    return table


def _items_table(items: Sequence[ItemInference]) -> Table:
    table = Table(title=f"which items did a user touch? AUC (.5 is chance), {_clients(items)}", title_justify="left")
    cells: dict[tuple[str, ...], dict[bool, str]] = {}
    for found in items:
        cells.setdefault((found.attack, _updates(found.messages)), {})[found.private] = _area(found.area)
    return _beside_each_other(table, ("attack", "from"), cells)


def _members_table(members: Sequence[MembershipInference]) -> Table:
    first = members[0]
    table = Table(
        title=f"who was in a model's training? {first.models} models, {first.users} users\nAUC (.5 is chance), share found at 1% false alarms",
        title_justify="left",
    )
    cells: dict[tuple[str, ...], dict[bool, str]] = {}
    for found in members:
        cells.setdefault((found.attack,), {})[found.private] = f"{_area(found.area)}  {found.power:.1%}"
    return _beside_each_other(table, ("attack",), cells)


def _beside_each_other(
    table: Table, names: tuple[str, ...], cells: Mapping[tuple[str, ...], Mapping[bool, str]]
) -> Table:
    """Without privacy and, where there is any, with it."""
    kinds = [private for private in (False, True) if any(private in row for row in cells.values())]
    for name in (*names, *("with privacy" if private else "without privacy" for private in kinds)):
        table.add_column(name, no_wrap=True)
    for key, row in cells.items():
        table.add_row(*key, *(row.get(private, "-") for private in kinds))
    return table


def _clients(items: Sequence[ItemInference]) -> str:
    return f"{max((found.clients for found in items), default=0)} clients"


def _with_auc(table: dict[str, Any]) -> dict[str, Any]:
    """The area as three numbers, arrays as lists."""
    area = table.pop("area")
    found = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in table.items()}
    return {**found, "auc": area["value"], "auc_low": area["low"], "auc_high": area["high"]}


def _area(area: Area) -> str:
    return f"{area.value:.3f} ({area.low:.3f}-{area.high:.3f})"


def _how(private: bool) -> str:
    return "with privacy" if private else "without privacy"


def _updates(count: int) -> str:
    return "one update" if count == 1 else f"{count} updates"
