"""Follows a run by its records, from another process: what the run's own console shows, as it happens."""

import json
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from everbloom.errors import InputError
from everbloom.experiment import Experiment
from server.run_directory import RunDirectory
from simulation.commands import print_summary
from simulation.console import RunConsole

Row = Mapping[str, Any]


@dataclass
class Tail:
    """New whole lines of a record file; what a resumed run does again comes again."""

    path: Path
    offset: int = 0

    def read(self) -> list[Row]:
        """Those since the last call."""
        with self.path.open("rb") as stream:
            if stream.seek(0, 2) < self.offset:  # cut back to a checkpoint
                self.offset = stream.tell()
            stream.seek(self.offset)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


@dataclass
class Follower:
    """Gives a run's records to a console in the order in which they were made; both files are written by turns, and each keeps its own order."""

    console: RunConsole
    rounds: Tail
    metrics: Tail
    waiting: deque[Row] = field(default_factory=deque)

    def follow(self) -> None:
        """Everything that is new."""
        # Measurements first: the rounds that came before one are there by the time it is read.
        measured = self.metrics.read()
        self.waiting.extend(self.rounds.read())
        for row in measured:
            self._rounds_until(_after(row))
            self.console.measured([row])
        self._rounds_until((math.inf, math.inf))

    def _rounds_until(self, last: tuple[float, float]) -> None:
        while self.waiting and (self.waiting[0]["period"], self.waiting[0]["round"]) <= last:
            self.console.round_done(self.waiting.popleft(), ())


def watch_run(path: Path, console: Console, poll: float = 0.5) -> None:
    """Until the run is finished, and prints its summary. `poll`: seconds between looks. Raises `InputError` if there is no run."""
    if not (path / "rounds.jsonl").is_file() or not (path / "metrics.jsonl").is_file():
        raise InputError(f"{path}: no run to watch here; expected the directory of `everbloom run --out`")
    run = RunDirectory(path)
    experiment = run.experiment
    shown = RunConsole(console, _rounds(experiment), f"{experiment.name} <- {path}")
    follower = Follower(shown, Tail(path / "rounds.jsonl"), Tail(path / "metrics.jsonl"))
    with shown.watching(done=0):
        while True:
            finished = (path / "summary.json").is_file()  # looked at first: nothing is written after it
            follower.follow()
            if finished:
                break
            time.sleep(poll)
    print_summary(console, json.loads((path / "summary.json").read_text(encoding="utf-8")))


def _after(row: Row) -> tuple[float, float]:
    """(period, round) of the last round before a measurement."""
    if "after" in row:
        return row["after"], math.inf
    if row["split"] == "test" and row["round"]:  # leave-one-out tests the best round's parameters after the last one
        return row["period"], math.inf
    return row["period"], row["round"]


def _rounds(experiment: Experiment) -> int | None:
    """Of the whole run; None where only the data say how many periods there are."""
    protocol = experiment.protocol
    if protocol.name == "leave-one-out":
        return experiment.rounds(0)
    if protocol.cut == "counts" and protocol.periods is not None and protocol.origin is None:
        return sum(experiment.rounds(period) for period in range(protocol.periods))
    return None
