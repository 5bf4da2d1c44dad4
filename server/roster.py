"""Which node of a Flower grid is which client."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from everbloom.errors import InputError
from everbloom.wire import HELLO


@runtime_checkable
class KnowsClients(Protocol):
    """A grid that need not ask: its node ids follow from client numbers."""

    def client_nodes(self) -> Mapping[int, int]:
        """client number -> node id."""
        ...


@runtime_checkable
class KnowsTime(Protocol):
    """A grid whose devices come and go on a simulated clock, and that closes a round once enough of them have answered."""

    now: float
    """Simulated seconds since the run began; set by whoever asks. When a round's replies are read it has moved on to the round's close."""

    def available(self, clients: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[clients] who can be asked now."""
        ...

    def wait_for(self, clients: NDArray[np.int64]) -> None:
        """Moves `now` on to when at least one of them can be asked. Raises `InputError` if that never comes."""
        ...


def call_roll(grid: Grid, expected: int, timeout: float, population: int) -> Mapping[int, int]:
    """client number -> node id of everyone there is.

    Waits at most `timeout` seconds until `expected` nodes are connected, and as long again for their answers. Raises `InputError` when too few have
    come or answered in time, two claim one number, or a number is not below `population`.
    """
    if isinstance(grid, KnowsClients):
        return grid.client_nodes()
    nodes = _connected(grid, expected, timeout)
    questions = [Message(RecordDict(), dst_node_id=node, message_type=HELLO) for node in nodes]
    roster: dict[int, int] = {}
    reasons = []
    for reply in grid.send_and_receive(questions, timeout=timeout):
        if reply.has_error():
            reasons.append(reply.error.reason)  # not asked to train; the count below tells
            continue
        client = client_of(reply, population)
        if client in roster:
            raise InputError(f"two devices say they are client {client}; give each its own store")
        roster[client] = reply.metadata.src_node_id
    if len(roster) < expected:
        first = f"the first failure: {reasons[0]}" if reasons else f"the others were silent for {timeout:.0f} s"
        raise InputError(
            f"{len(roster)} of {expected} devices said which client they are, {first}; look at the SuperNodes' logs"
        )
    return roster


def _connected(grid: Grid, expected: int, timeout: float) -> Sequence[int]:
    deadline = time.monotonic() + timeout
    while len(nodes := list(grid.get_node_ids())) < expected:
        if time.monotonic() > deadline:
            raise InputError(
                f"{len(nodes)} of {expected} devices connected within {timeout:.0f} s; start more SuperNodes or lower run-config `nodes`"
            )
        time.sleep(min(1.0, timeout))
    return nodes


def client_of(reply: Message, population: int) -> int:
    """Which client an answer to `HELLO` names. Raises `InputError` if it names none of the population."""
    hello = reply.content.config_records.get("hello")
    client = None if hello is None else hello.get("client")
    if not isinstance(client, int) or not 0 <= client < population:
        raise InputError(
            f"a device says it is client {client!r}; expected a number from 0 to {population - 1}, a user of the experiment's data set"
        )
    return client
