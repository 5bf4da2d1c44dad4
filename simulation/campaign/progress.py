"""What a person sees while a campaign runs: one bar over all rounds on a terminal, and a line per finished cell everywhere."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from simulation.console import elapsed, rounds_bar


class CampaignConsole:
    """An `Observer` of every cell's run. Time left is by rounds: those of one experiment cost about the same at every point."""

    def __init__(self, console: Console, cells: int, rounds: int, reached: Callable[[Mapping[str, Any]], str]) -> None:
        """`cells` and `rounds`: what is left to do, rounds of interrupted cells included. `reached` tells of a run's summary in a few words."""
        self.console = console
        self.cells = cells
        self.rounds = rounds
        self.reached = reached
        self._cell = self._done = self._worked = 0
        self._began = time.monotonic()
        self._bar = rounds_bar(console)
        self._task = self._bar.add_task("", total=rounds)

    @contextmanager
    def watching(self) -> Iterator["CampaignConsole"]:
        """Shows the bar."""
        with self._bar:
            yield self

    @contextmanager
    def running(self, label: str, rounds: int, done: int) -> Iterator[Callable[[Mapping[str, Any] | str], None]]:
        """Around a cell's run (`label`), of which `done` rounds were done before; yields what takes its summary, or why it failed."""
        self._cell += 1
        began, before = time.monotonic(), self._done
        place = f"{self._cell}/{self.cells} {label}"
        self._bar.update(self._task, description=escape(place))
        self._advance(done)

        def ended(result: Mapping[str, Any] | str) -> None:
            self._advance(rounds - (self._done - before))  # a run may end early
            said = f"failed: {result}" if isinstance(result, str) else self.reached(result)
            left = f", about {elapsed(self._left())} left" if self._cell < self.cells else ""
            self.console.print(
                f"{place}: {said}; {elapsed(time.monotonic() - began)}{left}",
                style="yellow" if isinstance(result, str) else None,
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

        yield ended

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """See `Observer`."""
        self._worked += 1
        self._advance(1)

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Observer`."""

    def _advance(self, rounds: int) -> None:
        self._done += rounds
        self._bar.update(self._task, completed=self._done)

    def _left(self) -> float:
        """Seconds, by the rounds of this call alone."""
        return (time.monotonic() - self._began) / max(1, self._worked) * max(0, self.rounds - self._done)
