"""`everbloom frontier`: the experiment over a grid of epsilon, unit and mechanism."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def frontier(
    experiment: Annotated[Path, typer.Argument(help="An experiment file.")],
    epsilon: Annotated[
        list[str], typer.Option(metavar="LIST", help="Budgets, and none for no privacy: numbers separated by commas.")
    ] = ["1,2,4,8,none"],  # noqa: B006 - typer copies it
    unit: Annotated[
        list[str], typer.Option(metavar="LIST", help="Units of privacy; default: the experiment's, or the mechanism's.")
    ] = [],  # noqa: B006
    mechanism: Annotated[
        list[str], typer.Option(metavar="LIST", help="Mechanisms; default: the experiment's, or the unit's.")
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Runs of every cell, from the experiment's seed on.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Where runs and results go, and are continued; default: runs/NAME-frontier.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
) -> None:
    """Privacy against utility: run a grid of budgets, units and mechanisms; again to continue or extend it."""
    from simulation.frontier.course import run_frontier

    run_frontier(experiment, overrides, epsilon, unit, mechanism, seeds, out, Console())
