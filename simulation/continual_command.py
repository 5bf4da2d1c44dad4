"""`everbloom continual`: the experiment under each method of learning on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_ALL = "frozen,finetune,replay,ewc,distillation,proximal,merging,averaging,retrain"


def continual(
    experiment: Annotated[Path, typer.Argument(help="An experiment file with the timeline protocol.")],
    methods: Annotated[
        list[str],
        typer.Option(metavar="LIST", help="Methods, with options if wanted: finetune,replay:budget=50:choice=recency."),
    ] = [_ALL],  # noqa: B006 - typer copies it
    epsilon: Annotated[
        list[str],
        typer.Option(
            metavar="LIST",
            help="Each method with each of these budgets, none for no privacy: 2,8,none. Default: the experiment's.",
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Runs of every method, from the experiment's seed on.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Where runs and results go, and are continued; default: runs/NAME-continual.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
) -> None:
    """Compare methods of learning on, with one epsilon or several: next-period quality, forgetting, work, privacy; again to continue or extend it."""
    from simulation.continual.course import run_comparison

    run_comparison(experiment, overrides, methods, seeds, out, Console(), epsilon)
