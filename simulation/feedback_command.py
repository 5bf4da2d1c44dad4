"""`everbloom feedback`: the experiment in a loop with the people it recommends to."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def feedback(
    experiment: Annotated[Path, typer.Argument(help="An experiment file.")],
    steps: Annotated[int | None, typer.Option(help="How often lists are shown; default: the experiment's.")] = None,
    top_n: Annotated[int | None, typer.Option(help="Length of a list; default: the experiment's.")] = None,
    users_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="How people react, e.g. cascade; default: the experiment's.")
    ] = None,
    exploration: Annotated[
        list[str],
        typer.Option(metavar="LIST", help="Ways of making lists, separated by commas; default: the experiment's."),
    ] = [],  # noqa: B006 - typer copies it
    seeds: Annotated[int, typer.Option(help="Runs of every loop, from the experiment's seed on.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Where runs and results go; default: a new directory runs/NAME-feedback.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
) -> None:
    """Close the loop: recommend, let simulated people click, learn from the clicks; measure what that does."""
    from simulation.feedback.course import run_feedback

    given = {"steps": steps, "top_n": top_n}
    options = [f"feedback.{key}={value}" for key, value in given.items() if value is not None]
    run_feedback(experiment, [*overrides, *options], users_model, exploration, seeds, out, Console())
