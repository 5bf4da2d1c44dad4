"""The in-process grid: nodes, order, and what a failing client costs."""

import json

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.answering import make_app
from client.device import Device
from client.ledger import SqliteLedger
from everbloom.wire import HELLO, TRAIN
from server.federation import Federation, initial_state
from server.observer import Silent
from server.roster import KnowsClients
from server.run_directory import RunDirectory
from simulation.devices import SimulatedDevices
from simulation.export import export_device
from simulation.grid import InProcessGrid, call_client


def numbered(grid: InProcessGrid, numbers: list[int]) -> list[Message]:
    """One message per client number, which says whom it is for."""
    nodes = grid.client_nodes()
    return [
        Message(RecordDict({"to": ConfigRecord({"client": number})}), dst_node_id=nodes[number], message_type=TRAIN)
        for number in numbers
    ]


def app_that_fails_for(client: int) -> ClientApp:
    """Replies with the client number in its node configuration, and raises for one."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        own = int(context.node_config["client"])
        if own == client:
            raise ZeroDivisionError("no luck")
        return Message(RecordDict({"from": ConfigRecord({"client": own})}), reply_to=message)

    return app


def grid_over(app: ClientApp, clients: int = 4) -> InProcessGrid:
    return InProcessGrid(clients, lambda messages: (call_client(app, message) for message in messages))


def senders(replies: list[Message]) -> list[int]:
    return [int(reply.content.config_records["from"]["client"]) for reply in replies]


def test_every_client_has_its_own_node():
    grid = grid_over(app_that_fails_for(-1), clients=1000)
    nodes = grid.client_nodes()
    assert len(nodes) == 1000
    assert len(set(nodes.values())) == 1000
    assert sorted(nodes.values()) == sorted(grid.get_node_ids())
    assert 1 not in nodes.values(), "node 1 is the server"
    with pytest.raises(KeyError):
        nodes[1000]
    assert isinstance(grid, KnowsClients)


def test_a_message_reaches_the_client_it_names():
    grid = grid_over(app_that_fails_for(-1))
    replies = list(grid.send_and_receive(numbered(grid, [2, 0, 3])))
    assert senders(replies) == [2, 0, 3]


def test_replies_stream_in_the_order_of_the_messages():
    handled = []

    def answer(messages):
        for message in messages:
            handled.append(message.metadata.dst_node_id)
            yield call_client(app_that_fails_for(-1), message)

    grid = InProcessGrid(4, answer)
    replies = iter(grid.send_and_receive(numbered(grid, [3, 1])))
    assert handled == []
    first = next(replies)
    assert len(handled) == 1, "the second client trains when its reply is asked for"
    assert senders([first, *replies]) == [3, 1]


def test_pushed_messages_are_answered_when_they_are_pulled_for():
    grid = grid_over(app_that_fails_for(-1))
    ids = list(grid.push_messages(numbered(grid, [1, 2])))
    assert len(set(ids)) == 2
    (second,) = grid.pull_messages(ids[1:])
    assert senders([second]) == [2]
    assert second.metadata.reply_to_message_id == ids[1]
    assert senders(list(grid.pull_messages(ids[:1]))) == [1]
    with pytest.raises(KeyError):
        grid.pull_messages(ids[:1])


def test_a_client_that_raises_becomes_an_error_reply():
    grid = grid_over(app_that_fails_for(1))
    replies = list(grid.send_and_receive(numbered(grid, [0, 1, 2])))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert "ZeroDivisionError: no luck" in replies[1].error.reason


def test_an_interruption_is_no_client_failure():
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        raise KeyboardInterrupt

    grid = grid_over(app)
    with pytest.raises(KeyboardInterrupt):
        list(grid.send_and_receive(numbered(grid, [0])))


def test_hello_answers_the_client_number(study):
    devices = SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))
    grid = grid_over(make_app(devices.open), study.clients)
    question = Message(RecordDict(), dst_node_id=grid.client_nodes()[2], message_type=HELLO)
    (reply,) = grid.send_and_receive([question])
    assert reply.content.config_records["hello"]["client"] == 2


def federate(study, run_path, open_device):
    """A whole run over devices that `open_device` opens; returns its rounds."""
    app = make_app(open_device)
    grid = grid_over(app, study.clients)
    run = RunDirectory.create(run_path, study.experiment)
    Federation(study, run, grid, grid.client_nodes(), Silent(), initial_state(study)).run()
    return [json.loads(line) for line in (run_path / "rounds.jsonl").read_text().splitlines()]


def test_a_failing_client_is_counted_and_never_costs_the_round(study, tmp_path):
    devices = SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))

    def open_device(context: Context) -> Device:
        if context.node_config["client"] == 1:
            raise OSError("disk on fire")
        return devices.open(context)

    rounds = federate(study, tmp_path / "run", open_device)
    assert [(record["clients"], record["failed"]) for record in rounds] == [(2, 1), (2, 1)]


def test_a_device_whose_budget_is_spent_refuses_and_the_round_goes_on(study, tmp_path):
    stores = [export_device(study, user, tmp_path / str(user)) for user in range(study.clients)]
    ledger = SqliteLedger(tmp_path / "2" / "ledger.sqlite")
    # This device took part before in what the server does not know of: all rounds but one are spent.
    for spent in range(study.plan.max_participations - 1):
        ledger.reserve(study.plan, period=0, round=spent)
    rounds = federate(study, tmp_path / "run", lambda context: stores[int(context.node_config["client"])].open())
    assert [(record["clients"], record["failed"]) for record in rounds] == [(3, 0), (2, 1)]
    assert len(ledger.account().reservations) == study.plan.max_participations, "a refused round charges nothing"
