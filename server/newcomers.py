"""Devices that come while a run is going on: asked who they are before the next round, and part of the federation from then on."""

from collections.abc import Callable, Mapping

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from everbloom.errors import InputError
from everbloom.wire import HELLO
from server.replies import replies_of
from server.roster import client_of

_SECONDS = 30.0
"""For their answer: a round does not wait longer for somebody who was not there before."""
_PAUSE_ROUNDS = 10
"""Before somebody who did not answer, or not well, is asked again."""


class Newcomers:
    """Called with the roster before each round; returns the one that holds now. `tell`: (event, fields) for what is remarkable."""

    def __init__(self, grid: Grid, population: int, tell: Callable[..., None]) -> None:
        self._grid = grid
        self._population = population
        self._tell = tell
        self._passed: dict[int, int] = {}
        self._round = 0

    def __call__(self, roster: Mapping[int, int]) -> Mapping[int, int]:
        self._round += 1
        there = set(self._grid.get_node_ids())
        known = set(roster.values())
        new = sorted(node for node in there - known if self._passed.get(node, 0) <= self._round)
        if not new:
            return roster
        found = dict(roster)
        messages = [Message(RecordDict(), dst_node_id=node, message_type=HELLO) for node in new]
        self._passed |= dict.fromkeys(new, self._round + _PAUSE_ROUNDS)
        for reply in replies_of(self._grid, messages, len(messages), _SECONDS):
            node = reply.metadata.src_node_id
            if reply.has_error() or node not in new:
                continue
            try:
                client = client_of(reply, self._population)
            except InputError as error:
                self._tell("refused", warning=True, node=str(node), reason=str(error))
                continue
            if found.get(client, node) in there - {node}:
                reason = f"it says it is client {client}, who is here already"
                self._tell("refused", warning=True, node=str(node), reason=reason)
                continue
            found[client] = node
            self._tell("joined", client=client, node=str(node), devices=len(found))
        return found
