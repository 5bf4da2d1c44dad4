"""What a person sees of a run: a live table on a terminal, plain lines elsewhere."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

_SHOWN = 12
"""Rounds in the live table; all of them are in rounds.jsonl."""
_ALWAYS = ("period", "round", "clients", "failed", "epsilon", "seconds")
_OF_A_POPULATION = {"unneeded": "not needed", "simulated_seconds": "simulated", "clock": "clock"}
"""key of a round's record -> its column, shown where rounds have it."""


class RunConsole:
    """An `Observer`."""

    def __init__(self, console: Console, rounds: int | None, title: str) -> None:
        """`rounds`: of the whole run; None if that is not known."""
        self.console = console
        self.title = title
        self._columns: tuple[str, ...] = _ALWAYS
        self._rows: deque[tuple[str, ...]] = deque(maxlen=_SHOWN)
        self._quality: dict[str, float] = {}
        self._pending: str = ""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("rounds", total=rounds)
        self._live: Live | None = None

    @contextmanager
    def watching(self, done: int) -> Iterator["RunConsole"]:
        """Shows the table while the run goes on; `done` rounds were done before."""
        self._progress.update(self._task, completed=done)
        if not self.console.is_terminal:
            yield self
            return
        with Live(self._view(), console=self.console, refresh_per_second=4) as self._live:
            yield self

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """See `Observer`."""
        shown = _cells(record)
        self._columns = tuple(shown)
        self._rows.append((*shown.values(), "", ""))
        self._progress.advance(self._task)
        if self._live is None:
            unneeded = f", {shown['not needed']} not needed" if "not needed" in shown else ""
            simulated = f", {shown['simulated']} simulated, clock {shown['clock']}" if "clock" in shown else ""
            self.console.print(
                f"period {shown['period']} round {shown['round']}: {shown['clients']} clients, {shown['failed']} failed{unneeded}, "
                f"epsilon {shown['epsilon']}, {shown['seconds']} s{simulated}",
                highlight=False,
                soft_wrap=True,
            )
        else:
            self._live.update(self._view())
        if reasons:
            self.console.print(
                f"  {len(reasons)} client(s) failed; the first: {reasons[0]}", style="yellow", highlight=False
            )

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Observer`."""
        for record in records:
            if record["slice"] != "all":
                continue
            hr, ndcg = record.get("hr@10"), record.get("ndcg@10")
            if (
                self._live is not None
                and self._rows
                and record["split"] == "validation"
                and record["protocol"] == "full"
            ):
                if record["model"] != "popularity" and str(record["round"]) == self._rows[-1][1]:
                    self._rows[-1] = (*self._rows[-1][:-2], _shown(hr), _shown(ndcg))
                self._live.update(self._view())
            if self._live is None or record["split"] == "test" or record["round"] == 0:
                self.console.print(
                    f"  {record['split']} ({record['protocol']}) period {record['period']} round {record['round']}, {record['model']}: "
                    + (
                        f"HR@10 {hr:.4f}, NDCG@10 {ndcg:.4f}"
                        if hr is not None and ndcg is not None
                        else f"{dict(record)}"
                    ),
                    highlight=False,
                    soft_wrap=True,
                )

    def _view(self) -> Group:
        table = Table(title=self.title, title_justify="left")
        for name in (*self._columns, "HR@10", "NDCG@10"):
            table.add_column(name, justify="right")
        for row in self._rows:
            table.add_row(*row)
        return Group(table, self._progress)


def _cells(record: Mapping[str, Any]) -> dict[str, str]:
    """column -> what a round's record says there."""
    cells = {name: str(record[name]) for name in _ALWAYS}
    cells["epsilon"] = "-" if record["epsilon"] is None else f"{record['epsilon']:.3f}"
    cells["seconds"] = f"{record['seconds']:.2f}"
    for key, name in _OF_A_POPULATION.items():
        if key in record:
            cells[name] = str(record[key]) if key == "unneeded" else elapsed(record[key])
    return cells


def elapsed(seconds: float) -> str:
    """Simulated time for people: 0:01:30, 2 d 4:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{rest:02}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def rounds_bar(console: Console) -> Progress:
    """A bar over the rounds of several runs, for a terminal; it vanishes when they are done. Quiet elsewhere."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rounds"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Any]:
    """A `Progress` callback that draws a bar on a terminal and is quiet elsewhere; the bar appears with the first call."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None, visible=False)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, visible=True)

        yield report
