"""Who does a round's jobs in a simulation: this process, or several that each hold the same population."""

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import torch
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from client.answering import make_app
from everbloom.errors import InputError
from everbloom.experiment import load_experiment
from everbloom.memory import peak_bytes
from everbloom.study import Study, open_study
from simulation.cohort import CohortWorker
from simulation.devices import DeviceWorker, SimulatedDevices
from simulation.grid import Answer, call_client, client_of
from simulation.jobs import JobResult, Worker, by_content, deal, replies
from simulation.memory import PeakMemory, training_memory
from simulation.personal import shared_personal
from simulation.residuals import shared_residuals
from simulation.threads import one_thread

_AHEAD = 4
"""Jobs per worker that are under way or wait for their turn."""


@contextmanager
def serial_answers(study: Study, ledger: Path, peak: PeakMemory) -> Iterator[Answer]:
    """Does all jobs in this process. `ledger`: file of the devices' ledgers, [clients] int32."""
    participations = np.load(ledger, mmap_mode="r+")
    memory = training_memory(study.experiment.runtime, others=0, workers=1)
    folder = ledger.parent
    worker = make_worker(study, participations, memory, shared_personal(folder, study), shared_residuals(folder, study))

    def answer(messages: list[Message]) -> Iterator[Message]:
        for content, group in by_content(messages):
            jobs = dealt(study, group)
            for job, clients in jobs:
                with one_thread():
                    result = worker.train(content, clients)
                peak.note(result.worker, result.held)
                yield from replies(group, job, result)

    yield answer


@contextmanager
def masked_answers(study: Study, ledger: Path) -> Iterator[Answer]:
    """Every message goes to its device's ClientApp, as on Flower: what the stages of secure aggregation need."""
    personal = shared_personal(ledger.parent, study)
    app = make_app(SimulatedDevices(study, np.load(ledger, mmap_mode="r+"), personal).open)

    def answer(messages: list[Message]) -> Iterator[Message]:
        for message in messages:
            with one_thread():
                reply = call_client(app, message)
            yield reply

    yield answer


@contextmanager
def parallel_answers(study: Study, experiment: Path, ledger: Path, workers: int, peak: PeakMemory) -> Iterator[Answer]:
    """Spreads jobs over processes; results do not depend on which. `experiment`: file of the resolved experiment."""
    with ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(experiment, ledger, peak_bytes(), workers),
    ) as pool:

        def answer(messages: list[Message]) -> Iterator[Message]:
            for content, group in by_content(messages):
                jobs = dealt(study, group)
                with _posted(content, ledger.parent) as task:
                    results = _in_order(pool, task, [clients for _, clients in jobs], ahead=_AHEAD * workers)
                    try:
                        for (job, _), result in zip(jobs, results, strict=True):
                            peak.note(result.worker, result.held)
                            yield from replies(group, job, result)
                    except BrokenProcessPool:
                        raise InputError(
                            "a worker process died (out of memory?); continue with --resume and fewer runtime.workers"
                        ) from None

        yield answer


def dealt(study: Study, messages: list[Message]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(positions among the messages, client numbers) of each job."""
    clients = np.array([client_of(message.metadata.dst_node_id) for message in messages], dtype=np.int64)
    offsets = study.dataset.events.offsets
    return [(job, clients[job]) for job in deal(offsets[clients + 1] - offsets[clients])]


def make_worker(
    study: Study,
    participations: NDArray[np.int32],
    memory: int | None,
    personal: NDArray[np.float32] | None = None,
    residuals: NDArray[np.float32] | None = None,
) -> Worker:
    """As the experiment's [runtime] asks. `participations` [clients]: the devices' ledgers, changed in place, as is `personal` [clients, personal],
    what they have learnt for themselves (None: nobody anything, and the worker keeps it), and `residuals` [clients, params], what they could not send
    yet. `memory`: bytes for training.
    """
    runtime = study.experiment.runtime
    if runtime.clients == "one-by-one":
        return DeviceWorker(study, participations, personal, residuals)
    folded = runtime.clients == "together" and not study.experiment.federation.aggregation.separate
    return CohortWorker(study, participations, folded, memory, personal, residuals)


def open_ledger(path: Path, participations: NDArray[np.int32]) -> Path:
    """Creates the devices' ledgers as they stood at the checkpoint a run starts from: what came after is done again, to the same messages."""
    path.parent.mkdir(exist_ok=True)
    np.save(path, participations.astype(np.int32))
    return path


def _in_order(pool: ProcessPoolExecutor, task: Path, jobs: list[NDArray[np.int64]], ahead: int) -> Iterator[JobResult]:
    """The jobs' results in their order; at most `ahead` are under way or done and not yet asked for, which bounds what they hold."""
    under_way: deque[Future[JobResult]] = deque()
    try:
        for clients in jobs:
            if len(under_way) == ahead:
                yield under_way.popleft().result()
            under_way.append(pool.submit(_work, task, clients))
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


@contextmanager
def _posted(content: RecordDict, folder: Path) -> Iterator[Path]:
    """A task in a file that all workers read, instead of a copy in every job."""
    path = folder / "task.pickle"
    with path.open("wb") as stream:
        pickle.dump(content, stream, protocol=pickle.HIGHEST_PROTOCOL)
    try:
        yield path
    finally:
        path.unlink()


_worker: Worker | None = None


def _start_worker(experiment: Path, ledger: Path, others: int, workers: int) -> None:
    global _worker
    end_with_parent()
    torch.set_num_threads(1)
    study = open_study(load_experiment(experiment), _quiet, _quiet)
    participations = np.load(ledger, mmap_mode="r+")
    memory = training_memory(study.experiment.runtime, others, workers)
    folder = ledger.parent
    personal, residuals = shared_personal(folder, study), shared_residuals(folder, study)
    _worker = make_worker(study, participations, memory, personal, residuals)


def end_with_parent() -> None:
    """However the process that started this one ends, killed included, this one ends too. A key's interrupt is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "a worker is a child"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _work(task: Path, clients: NDArray[np.int64]) -> JobResult:
    assert _worker is not None
    return _worker.train(_read(task, task.stat().st_mtime_ns), clients)


@lru_cache(maxsize=1)
def _read(task: Path, written: int) -> RecordDict:
    with task.open("rb") as stream:
        content: RecordDict = pickle.load(stream)
    return content


def _quiet(done: int, total: int) -> None:
    return
