"""`everbloom rolling`: the experiment's model trained from scratch up to several cuts, each tested on what follows."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def rolling(
    experiment: Annotated[Path, typer.Argument(help="An experiment file with the timeline protocol.")],
    cuts: Annotated[int, typer.Option(help="How many of the periods are tested, spread evenly; the last is one.")] = 4,
    seeds: Annotated[int, typer.Option(help="Runs of every cut, from the experiment's seed on.")] = 2,
    out: Annotated[
        Path | None, typer.Option(help="Where runs and results go, and are continued; default: runs/NAME-rolling.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
) -> None:
    """Rolling-origin cross-validation: train from scratch before each cut, test on the period after it, beside popularity."""
    from simulation.rolling.course import run_rolling

    run_rolling(experiment, overrides, cuts, seeds, out, Console())
