"""`everbloom export`: a run's model as files for others."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def export(
    run: Annotated[Path, typer.Argument(help="A run directory with a checkpoint.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    onnx: Annotated[bool, typer.Option(help="With recommender.onnx; needs the extra `export`.")] = True,
) -> None:
    """Write a run's model: safetensors, model card, ONNX, and adapters in PEFT's format."""
    from simulation.exporting import export_run

    export_run(run, out, onnx, Console(), Console(stderr=True))
