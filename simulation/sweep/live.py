"""What a person sees while a sweep runs: a live table on a terminal, and a line per finished trial everywhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from simulation.console import elapsed
from simulation.sweep.results import TrialResult, named, shown
from simulation.sweep.space import Suggested
from simulation.sweep.trial import Progress as TrialProgress


class SweepConsole:
    """The trials under way, the best so far, and how many are left."""

    def __init__(self, console: Console, metric: str, rounds: int, seeds: int, trials: int, done: int) -> None:
        """`rounds`: of a run. `trials`: in the end; `done`: by earlier calls."""
        self.console = console
        self.metric = metric
        self.rounds = rounds
        self.seeds = seeds
        self.trials = trials
        self.best: TrialResult | None = None
        self._under_way: dict[int, tuple[Mapping[str, Suggested], TrialProgress | None]] = {}
        self._began = time.monotonic()
        self._progress = Progress(
            TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
        )
        self._task = self._progress.add_task("", total=trials, completed=done)
        self._live: Live | None = None

    @contextmanager
    def watching(self) -> Iterator["SweepConsole"]:
        """Shows the table."""
        if not self.console.is_terminal:
            yield self
            return
        with Live(self._view(), console=self.console, refresh_per_second=4, transient=True) as self._live:
            yield self

    def began(self, values: Mapping[int, Mapping[str, Suggested]]) -> None:
        """A batch: trial -> its values."""
        self._under_way = {number: (given, None) for number, given in values.items()}
        self._began = time.monotonic()
        self._update()

    def tell(self, number: int, progress: TrialProgress) -> None:
        """How far a trial is."""
        self._under_way[number] = (self._under_way[number][0], progress)
        self._update()

    def ended(self, results: list[TrialResult], best: TrialResult | None) -> None:
        """What became of the batch."""
        self.best = best
        self._under_way = {}
        for result in results:
            self._progress.advance(self._task)
            self.console.print(
                f"trial {result.number} ({result.number + 1}/{self.trials}): {self._told(result)} ({named(result.values)})"
                + ("" if best is None else f"; best {shown(best.value)}, trial {best.number}")
                + f"; {elapsed(time.monotonic() - self._began)}",
                style="yellow" if result.status == "failed" else None,
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        self._update()

    def _told(self, result: TrialResult) -> str:
        if result.status == "done":
            return f"{self.metric} {result.estimate}"
        if result.status == "pruned":
            return f"given up at round {result.last_round} with {self.metric} {shown(result.last)}"
        return f"failed: {result.reason}"

    def _update(self) -> None:
        if self._live is not None:
            self._live.update(self._view())

    def _view(self) -> Group:
        best = "" if self.best is None else f"; best {shown(self.best.value)}, trial {self.best.number}"
        table = Table(title=f"validation {self.metric}{best}", title_justify="left")
        for name in ("trial", "seed", "round", "so far"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("values", overflow="fold")
        for number, (values, progress) in sorted(self._under_way.items()):
            place = progress or TrialProgress(0, 0, None)
            table.add_row(
                str(number),
                f"{place.run + 1}/{self.seeds}",
                f"{place.round}/{self.rounds}",
                shown(place.value),
                named(values),
            )
        return Group(table, self._progress)
