"""`everbloom audit`: attacks on what an experiment claims."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def audit(
    target: Annotated[
        Path | None, typer.Argument(metavar="RUN|EXPERIMENT", help="A run's directory, or an experiment file.")
    ] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key of an experiment.")
    ] = [],  # noqa: B006 - typer copies it
    runs: Annotated[
        int | None, typer.Option(help="Runs of each mechanism; default: what takes some seconds. More prove more.")
    ] = None,
    clients: Annotated[int, typer.Option(help="Clients whose items are inferred from their updates.")] = 40,
    shadows: Annotated[int, typer.Option(help="Models for membership inference, an even number; 0: none.")] = 4,
    seed: Annotated[int | None, typer.Option(help="Of the audit; default: the experiment's.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything as JSON.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as a PNG or by the ending.")] = None,
) -> None:
    """Attack what an experiment claims: lower bounds on epsilon, item and membership inference. Exits with 1 if a claim is refuted."""
    from simulation.audit.audit import Effort
    from simulation.audit.course import run_audit
    from simulation.cli import default_experiment

    effort = Effort(runs=runs, clients=clients, models=shadows)
    found = run_audit(target or default_experiment(), overrides, effort, seed, json, picture, Console())
    if found.exceeded:
        raise typer.Exit(1)
