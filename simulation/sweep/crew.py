"""Who runs the trials of a batch: this process, or one process for each.

The first runs of a batch go on in step: whether one is given up is decided when each that is still judged has measured as often, in the order of the
trials. So a decision depends on what the trials reached, and never on which process was faster.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

import torch

from everbloom.errors import InputError
from simulation.sweep.trial import Outcome, Progress, Trial, perform
from simulation.workers import end_with_parent

BatchJudge = Callable[[int, int, float], bool]
"""(trial, rounds done, value so far) -> whether to give it up."""
BatchTell = Callable[[int, Progress], None]


class Crew(Protocol):
    """Runs batches."""

    def run(self, trials: Sequence[Trial], judge: BatchJudge | None, tell: BatchTell) -> list[Outcome]:
        """The outcomes, in the order of the trials. `judge`: None, if no trial is ever given up."""
        ...


class Alone:
    """This process, one trial after another."""

    def run(self, trials: Sequence[Trial], judge: BatchJudge | None, tell: BatchTell) -> list[Outcome]:
        """See `Crew`."""
        return [_perform(trial, judge, tell) for trial in trials]


class Processes:
    """As many as there are trials in a batch; they live as long as the sweep."""

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(
                target=_serve, args=(there, max(1, torch.get_num_threads() // count)), daemon=True
            )
            process.start()
            there.close()
            self._connections.append(here)
            self._processes.append(process)

    def run(self, trials: Sequence[Trial], judge: BatchJudge | None, tell: BatchTell) -> list[Outcome]:
        """See `Crew`. Raises `InputError` if a process dies."""
        batch = _Batch(dict(zip(self._connections, trials, strict=False)), judge, tell)
        for connection, trial in batch.live.items():
            with _watched(trial):
                connection.send((trial, judge is not None))
        while batch.live:
            for connection in (each for each in wait(list(batch.live)) if isinstance(each, Connection)):
                with _watched(batch.live[connection]):
                    batch.hear(connection, connection.recv())
            batch.decide()
        return [batch.outcomes[trial.number] for trial in trials]

    def stop(self) -> None:
        """Ends the processes, whatever they do."""
        for connection, process in zip(self._connections, self._processes, strict=True):
            process.kill()
            process.join()
            process.close()
            connection.close()


class _Batch:
    """What is known of the trials under way."""

    def __init__(self, live: dict[Connection, Trial], judge: BatchJudge | None, tell: BatchTell) -> None:
        self.live = dict(live)
        self.judge = judge
        self.tell = tell
        self.judged = set(live) if judge is not None else set()
        self.waiting: dict[Connection, tuple[int, float]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def hear(self, connection: Connection, said: tuple[int, float] | Progress | Outcome) -> None:
        """One message of a process: it asks whether to go on, tells how far it is, or is done."""
        number = self.live[connection].number
        if isinstance(said, Outcome):
            self.outcomes[number] = said
            del self.live[connection]
            self.judged.discard(connection)
        elif isinstance(said, Progress):
            if said.run > 0:
                self.judged.discard(connection)
            self.tell(number, said)
        else:
            self.waiting[connection] = said

    def decide(self) -> None:
        """Answers, as soon as nobody who is still judged is missing."""
        if not self.waiting or not self.judged <= self.waiting.keys():
            return
        assert self.judge is not None
        for connection in sorted(self.waiting, key=lambda each: self.live[each].number):
            trial, (rounds, value) = self.live[connection], self.waiting[connection]
            with _watched(trial):
                connection.send(self.judge(trial.number, rounds, value))
        self.waiting.clear()


@contextmanager
def _watched(trial: Trial) -> Iterator[None]:
    """Around talk with a trial's process. Raises `InputError` if it is dead."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise InputError(
            f"the process of trial {trial.number} died (out of memory?); the same command continues here; "
            "fewer `workers` begin another sweep, which needs less memory"
        ) from None


@contextmanager
def crew(workers: int) -> Iterator[Crew]:
    """For batches of up to so many trials."""
    if workers == 1:
        yield Alone()
        return
    processes = Processes(workers)
    try:
        yield processes
    finally:
        processes.stop()


def _perform(trial: Trial, judge: BatchJudge | None, tell: BatchTell) -> Outcome:
    return perform(
        trial,
        None if judge is None else lambda rounds, value: judge(trial.number, rounds, value),
        lambda progress: tell(trial.number, progress),
    )


def _serve(connection: Connection, threads: int) -> None:
    """A worker process."""
    end_with_parent()
    warnings.filterwarnings("ignore", message="Secure RNG turned off")  # as the command does
    torch.set_num_threads(threads)

    def ask(rounds: int, value: float) -> bool:
        connection.send((rounds, value))
        return bool(connection.recv())

    while True:
        trial, judged = connection.recv()
        connection.send(perform(trial, ask if judged else None, connection.send))
