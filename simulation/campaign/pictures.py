"""Pictures where matplotlib is installed; a campaign is complete without them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from everbloom.errors import InputError


def drawn(console: Console, draw: Callable[[], Sequence[Path]]) -> Sequence[Path]:
    """The files that `draw` wrote; none, and a note, if it raises `InputError` (no matplotlib)."""
    try:
        return draw()
    except InputError as error:
        console.print(f"note: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        return []
