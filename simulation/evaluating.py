"""Simulated devices that measure: each message through its device's ClientApp, whatever trains them, so that every runtime gives the same numbers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
from flwr.app import Message

from client.answering import make_app
from everbloom.evaluation_wire import EVALUATE
from everbloom.study import Study
from simulation.devices import SimulatedDevices
from simulation.grid import Answer, call_client
from simulation.personal import shared_personal
from simulation.threads import one_thread


@contextmanager
def also_evaluating(study: Study, ledger: Path, answer: Answer) -> Iterator[Answer]:
    """`answer`, for a grid whose devices are asked to measure, too. `ledger`: file of the devices' ledgers, [clients] int32. Where answers are
    masked every message goes to its device's ClientApp already, which holds the keys of the exchange.
    """
    if study.experiment.runtime.masks:
        yield answer
        return
    personal = shared_personal(ledger.parent, study)
    app = make_app(SimulatedDevices(study, np.load(ledger, mmap_mode="r+"), personal).open)

    def both(messages: list[Message]) -> Iterable[Message]:
        for measured, some in groupby(messages, key=lambda message: message.metadata.message_type == EVALUATE):
            if not measured:
                yield from answer(list(some))
                continue
            for message in some:
                with one_thread():
                    reply = call_client(app, message)
                yield reply

    yield both
