"""`everbloom sweep`: search hyperparameters by what trials reach on validation."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from everbloom.errors import ConfigError


def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep's file, such as configs/sweeps/smoke.toml.")],
    trials: Annotated[
        int | None, typer.Option(help="How many, those of earlier calls included; default: the file's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where runs and results go, and are continued; default: runs/FILE-sweep.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006 - typer copies it
) -> None:
    """Search hyperparameters: many trials of one experiment, the best as an experiment file; again to continue or extend it."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("everbloom sweep: optuna is not installed; pip install 'everbloom[sweep]'")
    from simulation.sweep.course import run_sweep

    run_sweep(file, overrides, trials, out, Console())
