"""Which node of a Flower grid is which client."""

import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from everbloom.errors import InputError
from everbloom.wire import HELLO


@runtime_checkable
class KnowsClients(Protocol):
    """A grid that need not ask: its node ids follow from client numbers."""

    def client_nodes(self) -> Mapping[int, int]:
        """client number -> node id."""
        ...


def call_roll(grid: Grid, expected: int, timeout: float) -> Mapping[int, int]:
    """client number -> node id of everyone there is; waits until `expected` nodes are connected.

    Raises `InputError` when too few have come in time, or two nodes claim one number.
    """
    if isinstance(grid, KnowsClients):
        return grid.client_nodes()
    deadline = time.monotonic() + timeout
    while len(nodes := list(grid.get_node_ids())) < expected:
        if time.monotonic() > deadline:
            raise InputError(
                f"{len(nodes)} of {expected} devices connected within {timeout:.0f} s; start more SuperNodes or lower run-config `nodes`"
            )
        time.sleep(1)
    replies = grid.send_and_receive(
        [Message(RecordDict(), dst_node_id=node, message_type=HELLO) for node in nodes],
        timeout=max(1.0, deadline - time.monotonic()),
    )
    roster: dict[int, int] = {}
    for reply in replies:
        if reply.has_error():
            continue  # a node that cannot say who it is is not asked to train; the count below tells
        client = int(reply.content.config_records["hello"]["client"])  # type: ignore[arg-type]
        if client in roster:
            raise InputError(f"two devices say they are client {client}; give each its own store")
        roster[client] = reply.metadata.src_node_id
    if len(roster) < expected:
        raise InputError(f"{len(roster)} of {expected} devices answered who they are; look at the SuperNodes' logs")
    return roster
