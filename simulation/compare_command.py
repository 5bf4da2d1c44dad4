"""`everbloom compare`: whether runs differ, user by user."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from everbloom.report.comparing import Against, Comparison


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs of the same data and protocol; the first is what the others are compared with. One alone: with popularity.",
        ),
    ],
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything as JSON.")] = None,
) -> None:
    """Paired tests over users: differences with 95% bootstrap intervals, a permutation test and a sign test."""
    from everbloom.report.comparing import compare_runs
    from everbloom.report.records import find_runs

    comparison = compare_runs(find_runs(runs))
    print_comparison(Console(), comparison)
    if json is not None:
        _write(comparison, json)


def print_comparison(console: Console, comparison: "Comparison") -> None:
    """One table a measure."""
    reference = comparison.reference
    for measure in comparison.measures:
        title = f"{measure} on the test, against {reference.label}{_seeds(reference.runs)}"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("model", min_width=14, overflow="fold")
        for name in ("mean", "difference", "95% over users", "p", "better:worse", "sign"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(reference.label, f"{reference.mean(measure):.4f}", *[""] * 5)
        for against in _of(comparison, measure):
            found, contender = against.found, against.contender
            table.add_row(
                f"{contender.label}{_seeds(contender.runs)}",
                f"{contender.mean(measure):.4f}",
                f"{found.difference:+.4f}{'*' if against.corrected < 0.05 else ' '}",
                f"{found.low:+.4f} to {found.high:+.4f}",
                _p(against.corrected),
                f"{found.better}:{found.worse}",
                _p(found.sign),
            )
        console.print(table)
    users = comparison.against[0].found.users
    several = (
        ", Holm's correction for several comparisons" if len(list(_of(comparison, comparison.measures[0]))) > 1 else ""
    )
    console.print(
        f"{users:,} users, paired. p: permutation test{several}; * below .05; sign: sign test. It speaks of other users, not of other seeds.",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _of(comparison: "Comparison", measure: str) -> "Iterator[Against]":
    return (against for against in comparison.against if against.measure == measure)


def _seeds(runs: int) -> str:
    return f" ({runs} seeds)" if runs > 1 else ""


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _write(comparison: "Comparison", path: Path) -> None:
    import json
    from dataclasses import asdict

    from everbloom.errors import InputError

    rows = [
        {
            "model": against.contender.label,
            "reference": comparison.reference.label,
            "measure": against.measure,
            "mean": against.contender.mean(against.measure),
            "reference_mean": comparison.reference.mean(against.measure),
            **asdict(against.found),
            "permutation_corrected": against.corrected,
        }
        for against in comparison.against
    ]
    try:
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
