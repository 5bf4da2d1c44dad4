"""What a person sees while loops run: a bar over all rounds on a terminal, and a line a step everywhere."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from simulation.console import rounds_bar


class FeedbackConsole:
    """An `Observer` of every loop's federation."""

    def __init__(self, console: Console, rounds: int, steps: int) -> None:
        """`rounds`: of all loops together; `steps`: of one."""
        self.console = console
        self.steps = steps
        self._bar = rounds_bar(console)
        self._task = self._bar.add_task("", total=rounds)

    @contextmanager
    def watching(self) -> Iterator["FeedbackConsole"]:
        """Shows the bar."""
        with self._bar:
            yield self

    def now(self, what: str) -> None:
        """What is under way."""
        self._bar.update(self._task, description=escape(what))

    def step_done(self, what: str, record: Mapping[str, Any]) -> None:
        """A step's line."""
        spent = "" if record["epsilon"] is None else f", epsilon {record['epsilon']:.3f}"
        self.console.print(
            f"{what}, step {record['step']}/{self.steps}: {record['clicks']} clicks of {record['users']} people, CTR {record['ctr']:.3f}, "
            f"utility {record['utility']:.3f}, Gini {record['gini']:.3f}{spent}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """See `Observer`."""
        self._bar.advance(self._task)

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Observer`."""
