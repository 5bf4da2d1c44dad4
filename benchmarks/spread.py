"""A contender on one core or several: each process takes every n-th client of a cohort and returns the sum of its updates."""

import socket
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.opened import Workload, from_arguments, length, open_workload
from benchmarks.protocol import serve


class Trains(Protocol):
    """What a contender of this kind has to be."""

    def total(self, clients: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        """[params] sum of the clients' updates in a round."""
        ...


def serve_spread(build: Callable[[Workload], Trains]) -> None:
    """Serves with one thread in this process, or with as many processes as the second argument says."""
    workload = from_arguments()
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    if processes == 1:
        torch.set_num_threads(1)
        trainer = build(workload)
        _serve(workload, trainer.total, processes)
        return
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_start, initargs=(workload.folder, build)
    )

    def total(clients: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        parts = [clients[first::processes] for first in range(processes)]
        return np.sum(list(pool.map(_work, parts, [number] * processes)), axis=0)

    with pool:
        _serve(workload, total, processes)


def _serve(workload: Workload, total: Callable[[NDArray[np.int64], int], NDArray[np.float32]], processes: int) -> None:
    def one_round(number: int) -> tuple[int, float]:
        clients = by_work(workload, workload.cohort(number)) if processes > 1 else workload.cohort(number)
        return len(clients), length(total(clients, number)) / len(clients)

    serve(one_round, processes=processes, **workload.facts())


def by_work(workload: Workload, clients: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clients by falling number of events, so that processes that take turns get about the same work."""
    sizes = np.diff(workload.study.dataset.events.offsets)[clients]
    return clients[np.argsort(-sizes, kind="stable")]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_trainer: Trains | None = None


def _start(folder: Path, build: Callable[[Workload], Trains]) -> None:
    global _trainer
    torch.set_num_threads(1)
    _trainer = build(open_workload(folder))


def _work(clients: NDArray[np.int64], number: int) -> NDArray[np.float32]:
    assert _trainer is not None
    return _trainer.total(clients, number)
