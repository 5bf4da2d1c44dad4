"""More are asked than are wanted: how many, who counts as failed, and when nobody waits any more."""

import itertools

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from flwr.supercore.task_identity import TaskIdentity

from everbloom.config import FederationConfig
from everbloom.data.timeline import TrainingWindow
from everbloom.methods import SERVER_OPTIMIZERS
from everbloom.models.layout import ParameterLayout, Slot
from everbloom.wire import Update
from server.replies import replies_of
from server.sampling import asked_size, sample_cohort, wanted_answers
from server.strategy import FlatStrategy

LAYOUT = ParameterLayout((Slot("w", (2,), "shared", 0, 2),))


@pytest.mark.parametrize(
    ("cohort", "over", "asked"),
    [
        (20, 0.0, 20),
        (20, 0.3, 26),
        (30, 0.1, 33),
        (10, 0.05, 11),
        (3, 0.1, 4),
        (150, 1.0, 200),
        (0.5, 0.1, 110),
        (1.0, 0.5, 200),
    ],
)
def test_how_many_are_asked(cohort, over, asked):
    config = FederationConfig(cohort=cohort, over_selection=over)
    assert asked_size(config, 200) == asked
    if over:
        assert wanted_answers(config, 200) == config.cohort_size(200)
    clients = np.arange(200)
    assert len(sample_cohort(clients, lambda some: some >= 0, config, 1, 0, 1)) == asked


def test_poisson_asks_more_on_average():
    config = FederationConfig(cohort=100, over_selection=0.5, sampler="poisson")
    sizes = [len(sample_cohort(np.arange(1000), lambda some: some >= 0, config, 1, 0, round)) for round in range(400)]
    assert abs(np.mean(sizes) - 150) < 5 * np.sqrt(150 * 0.85 / 400)


def test_without_over_selection_a_large_poisson_cohort_is_waited_for_whole():
    assert wanted_answers(FederationConfig(cohort=20, sampler="poisson"), 200) == 200


@pytest.fixture
def strategy(study_of, small) -> FlatStrategy:
    optimizer = SERVER_OPTIMIZERS.parse({"name": "fedavg"})
    return FlatStrategy(LAYOUT, study_of(small()).terms, optimizer, 1, {})


def messages_of(strategy: FlatStrategy, asked: int, wanted: int | None) -> list[Message]:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    strategy.ask({client: client + 100 for client in range(asked)}, 0, TrainingWindow(0, 9), wanted)
    arrays = ArrayRecord({"flat": Array(np.zeros(2, dtype=np.float32))})
    messages = list(strategy.configure_train(1, arrays, ConfigRecord(), None))
    for number, message in enumerate(messages):
        message.metadata.__dict__["_message_id"] = f"m{number}"
    return messages


def good(message: Message, clients: int = 1) -> Message:
    return Message(Update(np.ones(2, dtype=np.float32), clients, LAYOUT.schema).pack(), reply_to=message)


@pytest.mark.parametrize(
    ("answers", "errors", "wanted", "failed", "unneeded"),
    [
        (3, 1, 3, 1, 1),
        (3, 0, 3, 0, 2),
        (4, 1, 3, 1, 0),
        (2, 1, 3, 3, 0),
        (2, 0, 3, 3, 0),
        (5, 0, None, 0, 0),
        (3, 1, None, 2, 0),
        (3, 1, 9, 2, 0),
    ],
)
def test_who_is_silent_has_failed_unless_enough_answered(strategy, fail, answers, errors, wanted, failed, unneeded):
    messages = messages_of(strategy, 5, wanted)
    replies = [fail(message) for message in messages[:errors]]
    replies += [good(message) for message in messages[errors : errors + answers]]
    _, metrics = strategy.aggregate_train(1, replies)
    assert (metrics["clients"], metrics["failed"], metrics["unneeded"]) == (answers, failed, unneeded)
    assert bool(strategy.reasons) == bool(failed)


def test_a_sum_of_many_fills_a_round_as_many_answers_do(strategy):
    messages = messages_of(strategy, 5, 3)
    _, metrics = strategy.aggregate_train(1, [good(messages[0], clients=3)])
    assert (metrics["clients"], metrics["failed"], metrics["unneeded"]) == (3, 0, 2)


class Polled:
    """A grid between real machines: replies come over several polls, each a list of message numbers (negative: an error)."""

    def __init__(self, fail, *polls: list[int]) -> None:
        self.fail = fail
        self.polls = iter(polls)
        self.asked: list[set[str]] = []
        self.waited_for_all = False

    def push_messages(self, messages):
        self.messages = {message.metadata.message_id: message for message in messages}
        return list(self.messages)

    def pull_messages(self, ids):
        self.asked.append(set(ids))
        came = next(self.polls, [])
        return [
            self.fail(self.messages[f"m{-number}"]) if number < 0 else good(self.messages[f"m{number}"])
            for number in came
        ]

    def send_and_receive(self, messages, *, timeout=None):
        self.waited_for_all = True
        return [good(message) for message in messages]


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The pauses between polls, which take no time."""
    found: list[float] = []
    clock = itertools.count()
    monkeypatch.setattr("server.replies.time.sleep", found.append)
    monkeypatch.setattr("server.replies.time.monotonic", lambda: float(next(clock)))
    return found


def numbers(replies) -> list[str]:
    return [reply.metadata.reply_to_message_id for reply in replies]


def test_a_round_between_machines_closes_with_the_wanted_answer(strategy, fail, waits):
    grid = Polled(fail, [], [4, -1], [0], [2, 3])
    replies = replies_of(grid, messages_of(strategy, 5, 2), 2, 60.0)
    assert numbers(replies) == ["m4", "m1", "m0"]
    assert grid.asked == [{"m0", "m1", "m2", "m3", "m4"}] * 2 + [{"m0", "m2", "m3"}]
    assert waits == [1.0, 1.0]


def test_it_ends_when_all_have_answered_or_time_is_over(strategy, fail, waits):
    failing = Polled(fail, [-1, -2], [-3, -4], [0])
    assert len(numbers(replies_of(failing, messages_of(strategy, 5, 2), 2, 60.0))) == 5
    silent = Polled(fail, [1])
    assert numbers(replies_of(silent, messages_of(strategy, 5, 2), 2, 5.0)) == ["m1"]
    assert len(silent.asked) == 5


def test_where_all_are_wanted_all_are_waited_for_and_counted_once(strategy, fail, waits):
    grid = Polled(fail, [1], [1, 0], [1, 2])
    assert numbers(replies_of(grid, messages_of(strategy, 3, None), 200, 60.0)) == ["m1", "m0", "m2"]
    assert not grid.waited_for_all, "Flower would ask every three seconds"
