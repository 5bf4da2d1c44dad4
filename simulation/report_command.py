"""`everbloom report`: one page from the records of runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories, or directories that hold them.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page; default: report.html in the one directory, or in this one for several."),
    ] = None,
    examples: Annotated[
        bool, typer.Option(help="Show what the first run would recommend to some people of its data set.")
    ] = True,
) -> None:
    """Make one self-contained page of one or several runs: what was claimed, reached, spent, forgotten, and who benefits."""
    from simulation.reporting import write_report

    write_report(runs, out, examples, Console())
