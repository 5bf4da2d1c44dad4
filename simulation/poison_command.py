"""`everbloom poison`: attackers among the devices, against every aggregation rule and against privacy."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def poison(
    experiment: Annotated[Path, typer.Argument(help="An experiment file.")],
    attacks: Annotated[
        list[str],
        typer.Option(metavar="LIST", help="Attacks, separated by commas; one of them with an option: promote:boost=5."),
    ] = ["random,sign-flip,promote,promote-within"],  # noqa: B006 - typer copies it
    rules: Annotated[
        list[str],
        typer.Option(metavar="LIST", help="Aggregation rules; with an option: trimmed-mean:byzantine=0.2."),
    ] = ["mean,norm-clipping,centred-clipping,median,trimmed-mean,multi-krum"],  # noqa: B006
    fraction: Annotated[float, typer.Option(help="Share of the people in the attackers' hands, drawn by seed.")] = 0.05,
    epsilon: Annotated[float | None, typer.Option(help="Attack private runs too, of this budget.")] = None,
    unit: Annotated[list[str], typer.Option(metavar="LIST", help="The units of privacy of these.")] = ["user,example"],  # noqa: B006
    private_rules: Annotated[list[str], typer.Option(metavar="LIST", help="And their aggregation rules.")] = ["mean"],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Runs of every cell, from the experiment's seed on.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Where runs and results go, and are continued; default: runs/NAME-poisoning.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of the experiment.")
    ] = [],  # noqa: B006
) -> None:
    """Poison a federation: attacks against aggregation rules and privacy; again to continue or extend it."""
    from simulation.poisoning.course import run_poisoning

    run_poisoning(experiment, overrides, attacks, rules, fraction, epsilon, unit, private_rules, seeds, out, Console())
