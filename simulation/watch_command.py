"""`everbloom watch`: follow a run that goes on elsewhere."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run, going on or finished.")],
) -> None:
    """Follow a running run with the table it draws itself; ends with the run. Ctrl-C stops watching and not the run."""
    from simulation.watching import watch_run

    watch_run(run, Console())
