"""`everbloom baselines`: reference recommenders beside a result."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def baselines(
    experiment: Annotated[Path, typer.Argument(help="An experiment file.")],
    only: Annotated[
        list[str],
        typer.Option(metavar="LIST", help="Some of them, with options if wanted: ease:l2=200,markov. Default: all."),
    ] = [],  # noqa: B006 - typer copies it
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
) -> None:
    """Measure reference recommenders on the experiment's own test: popularity, nearest neighbours, transitions, EASE."""
    from simulation.baselines import run_baselines

    run_baselines(experiment, overrides, only, Console())
