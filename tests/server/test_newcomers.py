"""Devices that come in the middle of a run."""

from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict

from server import newcomers
from server.newcomers import Newcomers
from simulation.grid import identify


class Nodes:
    """A grid of nodes (node id -> client number, or None for one that fails) that come and go."""

    def __init__(self, **nodes: int | None) -> None:
        identify()
        self.nodes = {int(name[1:]): client for name, client in nodes.items()}
        self.asked: list[list[int]] = []

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)

    def push_messages(self, messages):
        self.waiting = list(messages)
        self.asked.append([message.metadata.dst_node_id for message in self.waiting])
        for number, message in enumerate(self.waiting):
            message.metadata.__dict__["_message_id"] = f"m{number}"
        return [message.metadata.message_id for message in self.waiting]

    def pull_messages(self, ids):
        for message in self.waiting:
            client = self.nodes[message.metadata.dst_node_id]
            if client is None:
                yield Message(Error(0, "no service"), reply_to=message)
            else:
                yield Message(RecordDict({"hello": ConfigRecord({"client": client})}), reply_to=message)


@pytest.fixture
def told() -> list[tuple[str, dict[str, Any]]]:
    return []


def opened(grid: Nodes, told) -> Newcomers:
    return Newcomers(grid, 10, lambda event, **fields: told.append((event, fields)))


def test_nobody_new_is_no_question(told):
    grid = Nodes(n100=0, n101=1)
    roster = {0: 100, 1: 101}
    assert opened(grid, told)(roster) is roster
    assert grid.asked == []


def test_who_comes_is_asked_once_and_belongs_to_it(told):
    grid = Nodes(n100=0)
    call = opened(grid, told)
    roster = call({0: 100})
    grid.nodes[107] = 7
    roster = call(roster)
    assert roster == {0: 100, 7: 107}
    assert call(roster) is roster
    assert grid.asked == [[107]]
    assert told == [("joined", {"client": 7, "node": "107", "devices": 2})]


def test_a_device_that_comes_back_as_another_node_takes_its_place(told):
    grid = Nodes(n200=0, n101=1)
    assert opened(grid, told)({0: 100, 1: 101}) == {0: 200, 1: 101}


def test_who_claims_to_be_somebody_who_is_here_is_refused(told):
    grid = Nodes(n100=0, n666=0, n667=99)
    call = opened(grid, told)
    assert call({0: 100}) == {0: 100}
    assert [event for event, _ in told] == ["refused", "refused"]
    assert "who is here already" in told[0][1]["reason"]
    assert "expected a number from 0 to 9" in told[1][1]["reason"]


def test_who_does_not_answer_well_is_asked_again_later(told, monkeypatch):
    monkeypatch.setattr(newcomers, "_PAUSE_ROUNDS", 2)
    grid = Nodes(n100=0, n105=None)
    call, roster = opened(grid, told), {0: 100}
    for _ in range(2):
        roster = call(roster)
    assert grid.asked == [[105]]
    grid.nodes[105] = 5
    assert call(roster) == {0: 100, 5: 105}
