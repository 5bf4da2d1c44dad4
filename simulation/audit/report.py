"""An audit as a table, as JSON and as a picture."""

import json
from collections.abc import Sequence
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


def print_audit(console: Console, audit: Audit) -> None:
    """The claim, bounds beside it, what attackers learn, and a verdict."""
    console.print(audit.statement, style="dim", highlight=False)
    if audit.note is not None:
        console.print(f"note: {audit.note}", style="yellow", highlight=False, soft_wrap=True)
    if audit.bounds:
        console.print(_bounds_table(audit.bounds))
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
    return f"no claim is refuted: all {len(audit.bounds)} lower bounds are below what is claimed"


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
    """ROC curves of the best item inferences, and claimed beside proved epsilon. Raises `InputError` without matplotlib, or if it cannot be written."""
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


def _bounds_table(bounds: Sequence[Bound]) -> Table:
    table = Table(title="epsilon", title_justify="left")
    table.add_column("attack on")
    for name in ("released", "method"):
        table.add_column(name, no_wrap=True)
    for name in ("runs", "claimed", "at least", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for bound in bounds:
        told = "EXCEEDED" if bound.exceeded else ""
        numbers = f"{bound.runs:,}", f"{bound.epsilon_claimed:.3g}", f"{bound.epsilon_lower:.3g}"
        style = "bold red" if bound.exceeded else None
        table.add_row(bound.mechanism, bound.about, bound.method, *numbers, told, style=style)
    return table


def _items_table(items: Sequence[ItemInference]) -> Table:
    table = Table(title="which items did a user touch? (AUC, .5 is chance)", title_justify="left")
    for name in ("attack", "from", "updates", "clients", "AUC", "interval"):
        table.add_column(name, no_wrap=True)
    for found in items:
        area = found.area
        row = found.attack, _updates(found.messages), _how(found.private), str(found.clients)
        table.add_row(*row, f"{area.value:.3f}", _interval(area))
    return table


def _members_table(members: Sequence[MembershipInference]) -> Table:
    table = Table(title="who was in the training of a model? (AUC, .5 is chance)", title_justify="left")
    for name in ("attack", "updates", "models", "users", "AUC", "interval", "found at 1% false alarms"):
        table.add_column(name, no_wrap=True)
    for found in members:
        row = found.attack, _how(found.private), str(found.models), str(found.users)
        table.add_row(*row, f"{found.area.value:.3f}", _interval(found.area), f"{found.power:.1%}")
    return table


def _with_auc(table: dict[str, Any]) -> dict[str, Any]:
    """The area as three numbers, arrays as lists."""
    area = table.pop("area")
    found = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in table.items()}
    return {**found, "auc": area["value"], "auc_low": area["low"], "auc_high": area["high"]}


def _interval(area: Area) -> str:
    return f"{area.low:.3f} to {area.high:.3f}"


def _how(private: bool) -> str:
    return "with privacy" if private else "without privacy"


def _updates(count: int) -> str:
    return "one update" if count == 1 else f"{count} updates"
