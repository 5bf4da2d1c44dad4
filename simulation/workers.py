"""Who answers messages in a simulation: this process, or several that each hold the same population."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from flwr.app import Message
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from client.app import make_app
from everbloom.errors import InputError
from everbloom.experiment import load_experiment
from everbloom.study import Study, open_study
from simulation.devices import SimulatedDevices
from simulation.grid import Answer, call_client

_CHUNKS_PER_WORKER = 8
"""Small enough that no worker waits long for the slowest, large enough that the parameters are not sent too often."""


@contextmanager
def serial_answers(study: Study, ledger: Path) -> Iterator[Answer]:
    """Trains one client after the other in this process. `ledger`: file of the devices' ledgers, [clients] int32."""
    app = _app(study, ledger)

    def answer(messages: list[Message]) -> Iterator[Message]:
        for message in messages:
            # A client's tensors are too small to share among threads; one thread also makes sums the same on every machine.
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                reply = call_client(app, message)
            finally:
                torch.set_num_threads(threads)
            yield reply

    yield answer


@contextmanager
def parallel_answers(experiment: Path, ledger: Path, workers: int) -> Iterator[Answer]:
    """Spreads clients over processes; results do not depend on which. `experiment`: file of the resolved experiment."""
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(experiment, ledger)
    ) as pool:

        def answer(messages: list[Message]) -> Iterator[Message]:
            size = max(1, len(messages) // (workers * _CHUNKS_PER_WORKER))
            chunks = [messages[start : start + size] for start in range(0, len(messages), size)]
            try:
                for replies in pool.map(_work, chunks):
                    yield from replies
            except BrokenProcessPool:
                raise InputError(
                    "a worker process died (out of memory?); continue with --resume and fewer runtime.workers"
                ) from None

        yield answer


def open_ledger(path: Path, participations: NDArray[np.int32]) -> Path:
    """Creates the devices' ledgers as they stood at the checkpoint a run starts from: what came after is done again, to the same messages."""
    path.parent.mkdir(exist_ok=True)
    np.save(path, participations.astype(np.int32))
    return path


_worker_app: ClientApp | None = None


def _start_worker(experiment: Path, ledger: Path) -> None:
    global _worker_app
    torch.set_num_threads(1)
    study = open_study(load_experiment(experiment), _quiet, _quiet)
    _worker_app = _app(study, ledger)


def _work(messages: list[Message]) -> list[Message]:
    assert _worker_app is not None
    return [call_client(_worker_app, message) for message in messages]


def _app(study: Study, ledger: Path) -> ClientApp:
    participations = np.load(ledger, mmap_mode="r+")
    return make_app(SimulatedDevices(study, participations).open)


def _quiet(done: int, total: int) -> None:
    return
