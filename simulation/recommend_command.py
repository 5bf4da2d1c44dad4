"""`everbloom recommend`: what a run's model recommends to one of its users, or to somebody described by words, and why."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def recommend(
    run: Annotated[Path, typer.Argument(help="A run directory with a checkpoint.")],
    user: Annotated[str | None, typer.Option(help="A user of the run's data set, by its id there.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Instead: a new user in words; phrases separated by semicolons.")
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="How many items.")] = 10,
    why: Annotated[bool, typer.Option("--why", help="With the reasons for each item.")] = False,
    language: Annotated[str, typer.Option(help="Of the reasons: en or zh.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Recommend from a run's model to one of its users, or to a new one described by words."""
    from simulation.recommendations import Asked, answer

    asked = Asked(run, user, text, n, why, language)
    answer(asked, Console(), Console(stderr=True), as_json)
