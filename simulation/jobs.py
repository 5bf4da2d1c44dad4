"""A round's work in a simulation: the cohort is dealt into jobs, whoever does a job answers for all of its clients."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from numpy.typing import NDArray

from everbloom.memory import peak_bytes
from everbloom.wire import TRAIN, Update
from simulation.memory import process_name

_CLIENTS = 25
"""Of one job, at most: enough to fill batches of similar clients (half as many cost a half more each), few enough that jobs even out over workers."""
_LEAST_JOBS = 4
"""However small the cohort."""


@dataclass(frozen=True, eq=False)
class JobResult:
    """What became of a job's clients. `trained`: positions in the job of those whose updates are in `deltas`: [1, numbers] their sum if
    `folded`, else [trained, numbers]. `failures`: position -> why."""

    trained: NDArray[np.int64]
    deltas: NDArray[Any]
    folded: bool
    schema: str
    failures: dict[int, str] = field(default_factory=dict)
    worker: str = field(default_factory=process_name)
    held: int = field(default_factory=peak_bytes)
    """The most bytes that the worker has held so far."""


class Worker(Protocol):
    """Does jobs. Its results depend on the job alone."""

    def train(self, content: RecordDict, clients: NDArray[np.int64]) -> JobResult:
        """One round of these clients on the task that `content` holds."""
        ...


def deal(work: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions of the clients of each job, ascending. `work` [clients] is what each has to do.

    Clients of similar size are dealt out in turn, so that jobs are of one size and no worker waits for another. The jobs depend on the cohort alone,
    not on who does them: with any number of workers the same sums are added in the same order.
    """
    jobs = min(len(work), max(_LEAST_JOBS, -(-len(work) // _CLIENTS)))
    order = np.argsort(-work, kind="stable")
    return [np.sort(order[start::jobs]) for start in range(jobs)]


def replies(messages: list[Message], job: NDArray[np.int64], result: JobResult) -> Iterator[Message]:
    """The replies to the messages of one job: one that sums all who trained, or one for each."""
    if len(result.trained):
        of = result.trained[:1] if result.folded else result.trained
        count = len(result.trained) if result.folded else 1
        for position, delta in zip(of, result.deltas, strict=True):
            yield Message(Update(delta, count, result.schema).pack(), reply_to=messages[job[position]])
    for position, reason in result.failures.items():
        yield failure(messages[job[position]], reason)


def failure(message: Message, reason: str) -> Message:
    """What a SuperNode answers when its ClientApp raises."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def by_content(messages: Iterable[Message]) -> Iterator[tuple[RecordDict, list[Message]]]:
    """Messages that share a content, which is what a round's do."""
    groups: dict[int, tuple[RecordDict, list[Message]]] = {}
    for message in messages:
        if message.metadata.message_type != TRAIN:
            raise NotImplementedError(f"simulated devices answer {TRAIN!r} only, not {message.metadata.message_type!r}")
        groups.setdefault(id(message.content), (message.content, []))[1].append(message)
    yield from groups.values()
