"""Brings devices what they need from the server: the catalogue, in pieces, to those that have another; the model, to all, when a period ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from everbloom.data.catalog import Catalog
from everbloom.data.catalog_bytes import catalogue_parts
from everbloom.errors import SchemaError
from everbloom.parcel import CATALOGUE, Manifest, pack_parcel, unpack_missing
from everbloom.study import Study
from everbloom.wire import OFFER, Task
from server.replies import replies_of

_AT_ONCE = 4
"""Pieces of a message: some hundred kB each, well within what Flower and the proxy let through."""
_TRIES = 3
"""How often in a row a device may get no further before it is left as it is."""


@dataclass(frozen=True)
class Delivered:
    """How many devices have it now, and why others do not: client number -> reason."""

    devices: int
    failures: Mapping[int, str]


@dataclass
class _Bound:
    """A delivery to one device. `missing`: what it said; None before it was asked."""

    missing: list[int] | None = None
    tries: int = _TRIES
    reason: str = "no answer in time"

    def hear(self, missing: list[int]) -> None:
        """Its answer."""
        further = self.missing is None or len(missing) < len(self.missing)
        self.missing, self.tries = missing, _TRIES if further else self.tries - 1
        if not missing:
            self.tries, self.reason = 0, "it has all pieces, and another catalogue"

    def fail(self, reason: str) -> None:
        """An error in place of an answer: a broken piece is sent again, a refusal at the door is one."""
        self.tries, self.reason = 0 if self.missing is None else self.tries - 1, reason

    @property
    def next(self) -> tuple[int, ...]:
        """Pieces of the next message."""
        return tuple((self.missing or [])[:_AT_ONCE])


def distribute_catalogue(grid: Grid, roster: Mapping[int, int], catalog: Catalog, timeout: float) -> Delivered:
    """Asks everybody what is missing and sends that, until all have the catalogue or get no further. `timeout`: seconds for one exchange."""
    pieces, digest = catalogue_parts(catalog), catalog.digest()
    manifest = Manifest.of_parts(pieces)
    bound = {client: _Bound() for client in roster}
    client_of = {node: client for client, node in roster.items()}
    failures: dict[int, str] = {}
    while bound:
        silent = set(bound)
        for reply in replies_of(grid, _messages(manifest, digest, pieces, bound, roster), len(bound), timeout):
            client = client_of.get(reply.metadata.src_node_id)
            if client not in silent:
                continue  # an error that the link made: its device counts as silent
            silent.discard(client)
            try:
                missing, held = _told(reply)
            except SchemaError as error:
                bound[client].fail(str(error))
                continue
            if held == digest:
                del bound[client]
            else:
                bound[client].hear([number for number in missing if 0 <= number < len(pieces)])
        for client in [client for client, one in bound.items() if client in silent or one.tries <= 0]:
            failures[client] = bound.pop(client).reason
    return Delivered(len(roster) - len(failures), failures)


def _messages(
    manifest: Manifest, digest: str, pieces: Sequence[bytes], bound: Mapping[int, _Bound], roster: Mapping[int, int]
) -> list[Message]:
    """One to each device; those that need the same pieces share one content."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for client, one in bound.items():
        groups.setdefault(one.next, []).append(client)
    messages = []
    for numbers, clients in groups.items():
        content = pack_parcel(manifest, {number: pieces[number] for number in numbers}, digest)
        messages += [Message(content, dst_node_id=roster[client], message_type=CATALOGUE) for client in clients]
    return messages


def offer_model(
    study: Study,
    grid: Grid,
    roster: Mapping[int, int],
    parameters: NDArray[np.float32],
    period: int,
    round: int,
    continues: str | None = None,
) -> Delivered:
    """Sends the model to every device, to recommend with: most were not in the last cohort. Who does not answer keeps an older one.
    `continues`: see `Task`."""
    task = Task(
        parameters,
        study.layout.schema,
        study.terms,
        period,
        round,
        study.window(period),
        catalogue=study.dataset.catalog.digest(),
        continues=continues,
    )
    content = task.pack()
    messages = [Message(content, dst_node_id=node, message_type=OFFER) for node in roster.values()]
    client_of = {node: client for client, node in roster.items()}
    failures = dict.fromkeys(roster, "no answer in time")
    for reply in replies_of(grid, messages, len(messages), study.experiment.federation.reply_timeout):
        client = client_of.get(reply.metadata.src_node_id)
        if client is None:
            continue
        if reply.has_error():
            failures[client] = reply.error.reason or "no reason given"
        else:
            failures.pop(client, None)
    return Delivered(len(roster) - len(failures), failures)


def _told(reply: Message) -> tuple[list[int], str]:
    if reply.has_error():
        raise SchemaError(reply.error.reason or "no reason given")
    return unpack_missing(reply.content)
