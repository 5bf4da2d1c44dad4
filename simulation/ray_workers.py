"""A round's jobs on Ray workers, on one machine or many: what `parallel_answers` does with processes, with the same bytes as a result."""

import heapq
import os
import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from everbloom.data.home import home
from everbloom.errors import InputError
from everbloom.experiment import parse_experiment
from everbloom.memory import peak_bytes
from everbloom.study import Study, open_study
from simulation.grid import Answer
from simulation.jobs import JobResult, Worker, by_content, replies
from simulation.memory import PeakMemory, training_memory
from simulation.ray_cluster import connected, crew_size, gpu_share
from simulation.workers import dealt, make_worker

_DEPTH = 2
"""Jobs that a worker has been sent: the next one is there when one is done, whatever this process does meanwhile."""
_AHEAD = 4
"""Jobs per worker that may be done before their turn: bounds what results hold while one is done again."""
_LOSSES = 4
"""A job that was lost so often is the reason itself."""


@contextmanager
def ray_answers(study: Study, ledger: Path, peak: PeakMemory) -> Iterator[Answer]:
    """Spreads jobs over Ray workers, as the experiment's [runtime] asks; results do not depend on which does what, nor on whether some die.

    `ledger`: file of the devices' ledgers, [clients] int32; machines share no file, so a job carries its clients' entries there and back. Raises
    `ConfigError` without Ray or its cluster, `InputError` if a worker cannot open the data set, or dies again and again.
    """
    participations = np.load(ledger, mmap_mode="r+")
    with connected(study.experiment.runtime) as ray:
        crew = Crew(ray, study)

        def answer(messages: list[Message]) -> Iterator[Message]:
            for content, group in by_content(messages):
                jobs = dealt(study, group)
                results = crew.results(content, [clients for _, clients in jobs], participations)
                for (job, _), result in zip(jobs, results, strict=True):
                    peak.note(result.worker, result.held)
                    yield from replies(group, job, result)

        yield answer


@dataclass(frozen=True)
class Opening:
    """What a worker needs to open the study by itself. `experiment`: TOML. `folder`: where relative paths start. `others`: bytes that the
    coordinating process holds."""

    experiment: str
    folder: str
    fingerprint: str
    schema: str
    workers: int
    others: int


class RayWorker:
    """One worker: an actor. It opens the study at the first call, and again after it has died and was restarted."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self._opened: tuple[Worker, NDArray[np.int32]] | None = None

    def open(self) -> None:
        """Returns when it is ready for jobs. Raises `InputError` if the study cannot be opened here."""
        self._tools()

    def train(
        self, content: RecordDict, clients: NDArray[np.int64], participations: NDArray[np.int32]
    ) -> tuple[JobResult, NDArray[np.int32]]:
        """(a job's result, its clients' ledgers after it), from their ledgers before it. A job that is done again is charged once."""
        worker, ledger = self._tools()
        ledger[clients] = participations
        result = worker.train(content, clients)
        return result, ledger[clients]

    def _tools(self) -> tuple[Worker, NDArray[np.int32]]:
        if self._opened is None:
            torch.set_num_threads(1)
            study = self._study()
            runtime = study.experiment.runtime
            ledger = np.zeros(study.clients, dtype=np.int32)
            memory = training_memory(runtime, self.opening.others, self.opening.workers)
            self._opened = make_worker(study, ledger, memory), ledger
        return self._opened

    def _study(self) -> Study:
        opening = self.opening
        if Path(opening.folder).is_dir():
            os.chdir(opening.folder)
        try:
            study = open_study(parse_experiment(tomllib.loads(opening.experiment)), _quiet, _quiet)
            if (study.dataset.fingerprint, study.layout.schema) != (opening.fingerprint, opening.schema):
                raise InputError("the data set or the version of everbloom is another than where the run was started")
        except InputError as error:
            raise InputError(
                f"Ray worker on {socket.gethostname()}: {error}; every machine opens the data set by itself, here under EVERBLOOM_HOME = {home()}"
            ) from None
        return study


class Crew:
    """The workers of a run, spread over the cluster."""

    def __init__(self, ray: Any, study: Study) -> None:
        """Starts them and waits until all are ready. Raises `InputError` if one cannot be."""
        runtime = study.experiment.runtime
        workers = crew_size(ray, runtime)
        gpus = gpu_share(runtime, workers, int(ray.cluster_resources().get("GPU", 0)))
        opening = Opening(
            experiment=study.experiment.to_toml(),
            folder=str(Path.cwd()),
            fingerprint=study.dataset.fingerprint,
            schema=study.layout.schema,
            workers=workers,
            others=peak_bytes(),
        )
        # A lost job is sent again by `_Round`, to whoever is free: what Ray repeats waits for the worker that it was meant for.
        actor = ray.remote(RayWorker).options(
            num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self.ray = ray
        self.members = [_Member(actor.remote(opening)) for _ in range(workers)]
        for member in self.members:
            self.opened(member)

    def results(
        self, content: RecordDict, jobs: list[NDArray[np.int64]], participations: NDArray[np.int32]
    ) -> Iterator[JobResult]:
        """The jobs' results in their order; `participations` [population] is charged as they come."""
        return _Round(self, self.ray.put(content), jobs, participations).results()

    def opened(self, member: "_Member") -> None:
        """Waits until a worker is ready. Raises what kept it from opening the study, or `InputError` if it does not live."""
        opening, member.opening = member.opening, None
        try:
            self.ray.get(opening)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from None
        except self.ray.exceptions.RayError as error:
            raise InputError(
                f"a Ray worker cannot be started ({_line(error)}); is the same everbloom installed on every machine, and is there memory for it?"
            ) from None


class _Member:
    """A worker, and the call that tells when it is ready; None if it is."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.opening: Any = None
        self.reopen()

    def reopen(self) -> None:
        """Asks it to open the study, in a new process if the last one died."""
        if self.opening is None:
            self.opening = self.actor.open.options(max_task_retries=_LOSSES).remote()


class _Round:
    """One task's jobs: what is to be done, what is under way, what is done."""

    def __init__(self, crew: Crew, task: Any, jobs: list[NDArray[np.int64]], participations: NDArray[np.int32]) -> None:
        """`task`: a reference into Ray's object store, so that it is sent to each machine once."""
        self.crew = crew
        self.task = task
        self.jobs = jobs
        self.participations = participations
        self._waiting = list(range(len(jobs)))
        self._running: dict[Any, tuple[_Member, int]] = {}
        self._done: dict[int, tuple[JobResult, NDArray[np.int32]]] = {}
        self._losses = [0] * len(jobs)

    def results(self) -> Iterator[JobResult]:
        """In the order of the jobs."""
        for job, clients in enumerate(self.jobs):
            while job not in self._done:
                self._send(before=job + _AHEAD * len(self.crew.members))
                self._receive()
            self._send(before=job + _AHEAD * len(self.crew.members))
            result, self.participations[clients] = self._done.pop(job)
            yield result

    def _send(self, before: int) -> None:
        """Sends the first of the waiting jobs, up to `before`, to who has least to do."""
        load = {id(member): 0 for member in self.crew.members}
        for member, _ in self._running.values():
            load[id(member)] += 1
        while self._waiting and self._waiting[0] < before:
            ready = [member for member in self.crew.members if member.opening is None and load[id(member)] < _DEPTH]
            if not ready:
                return
            member = min(ready, key=lambda each: load[id(each)])
            job = heapq.heappop(self._waiting)
            clients = self.jobs[job]
            running = member.actor.train.remote(self.task, clients, self.participations[clients])
            self._running[running] = member, job
            load[id(member)] += 1

    def _receive(self) -> None:
        """Waits for the next thing to happen: a job is done or lost, a worker is ready again."""
        ray = self.crew.ray
        opening = {member.opening: member for member in self.crew.members if member.opening is not None}
        (came,), _ = ray.wait([*self._running, *opening], num_returns=1)
        if came in opening:
            self.crew.opened(opening[came])
            return
        member, job = self._running.pop(came)
        try:
            self._done[job] = ray.get(came)
        except ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from None
        except ray.exceptions.RayError as error:
            self._lose(member, job, error)

    def _lose(self, member: _Member, job: int, error: Exception) -> None:
        self._losses[job] += 1
        if self._losses[job] == _LOSSES:
            raise InputError(
                f"Ray workers died {_LOSSES} times over the same clients (out of memory?; {_line(error)}); "
                "continue with --resume and fewer runtime.workers"
            )
        heapq.heappush(self._waiting, job)
        member.reopen()


def _line(error: Exception) -> str:
    """What Ray says, without its traces: the first line and the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ... ".join(dict.fromkeys([lines[0], lines[-1]])) if lines else type(error).__name__


def _quiet(done: int, total: int) -> None:
    return
