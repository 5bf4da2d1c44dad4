"""The strategy: one sum, equal weights, and no client that can cost the others their round."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.task_identity import TaskIdentity

from everbloom.data.timeline import TrainingWindow
from everbloom.errors import InputError
from everbloom.methods import AGGREGATION_RULES, SERVER_OPTIMIZERS
from everbloom.models.layout import ParameterLayout, Slot
from everbloom.privacy.adaptive_clip import AdaptiveClip
from everbloom.privacy.mechanisms.central import NoisySum
from everbloom.wire import Task, Terms, Update
from server.strategy import FlatStrategy

LAYOUT = ParameterLayout((Slot("w", (3,), "shared", 0, 3),))
START = np.array([1.0, 2.0, 3.0], dtype=np.float32)


@pytest.fixture
def terms(small) -> Terms:
    experiment = small()
    return Terms(
        seed=0,
        labels={},
        text="",
        model=experiment.model,
        learning=experiment.learning,
        privacy=experiment.privacy,
        course={"rounds": 2, "population": 10, "cohort": 3},
    )


@pytest.fixture
def round_of(terms) -> Callable:
    """(clients, min_replies, optimizer) -> (strategy, the messages it sends in round 4)."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def begin(clients: int = 3, min_replies: int = 1, optimizer: str = "fedavg", **options: float):
        chosen = SERVER_OPTIMIZERS.parse({"name": optimizer, **options})
        strategy = FlatStrategy(LAYOUT, terms, chosen, min_replies, chosen.init(START))
        strategy.ask({client: client + 100 for client in range(clients)}, 1, TrainingWindow(5, 9))
        arrays = ArrayRecord({"flat": Array(START)})
        messages = list(strategy.configure_train(4, arrays, ConfigRecord(), None))
        for number, message in enumerate(messages):
            message.metadata.__dict__["_message_id"] = f"m{number}"
        return strategy, messages

    return begin


def reply(message: Message, delta: object, clients: int = 1, schema: str = LAYOUT.schema) -> Message:
    return Message(Update(np.asarray(delta), clients, schema).pack(), reply_to=message)


def good(message: Message, value: float = 1.0, clients: int = 1) -> Message:
    return reply(message, np.full(3, value, dtype=np.float32), clients)


def test_every_client_of_the_cohort_gets_the_same_task(round_of):
    _, messages = round_of()
    assert [message.metadata.dst_node_id for message in messages] == [100, 101, 102]
    for message in messages:
        task = Task.unpack(message.content)
        assert np.array_equal(task.parameters, START)
        assert (task.schema, task.period, task.round) == (LAYOUT.schema, 1, 4)
        assert task.window == TrainingWindow(5, 9)


def test_the_mean_of_what_came_back(round_of):
    strategy, messages = round_of()
    arrays, metrics = strategy.aggregate_train(
        4, [good(m, value) for m, value in zip(messages, (1, 2, 6), strict=True)]
    )
    assert np.array_equal(arrays["flat"].numpy(), START + 3)
    assert dict(metrics) == {"clients": 3, "failed": 0, "unneeded": 0, "bytes-up": 36}
    assert strategy.reasons == []


def test_clients_weigh_the_same_and_a_sum_of_two_counts_twice(round_of):
    strategy, messages = round_of(clients=3)
    arrays, metrics = strategy.aggregate_train(4, [good(messages[0], 8.0, clients=2), good(messages[1], 1.0)])
    assert np.array_equal(arrays["flat"].numpy(), START + 3)
    assert (metrics["clients"], metrics["failed"]) == (3, 0)


def test_the_order_of_replies_does_not_matter(round_of):
    values = (0.1, 1e-8, -3.3)
    results = []
    for order in ((0, 1, 2), (2, 0, 1)):
        strategy, messages = round_of()
        arrays, _ = strategy.aggregate_train(4, [good(messages[place], values[place]) for place in order])
        results.append(arrays["flat"].numpy())
    assert np.array_equal(*results)


BAD: dict[str, tuple[Callable[[Message], Message], str]] = {
    "an error": (lambda m: Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "no battery"), reply_to=m), "no battery"),
    "another schema": (lambda m: reply(m, np.ones(3, np.float32), schema="f00"), "parameter schema f00"),
    "another shape": (lambda m: reply(m, np.ones(4, np.float32)), r"shape \(4,\), expected finite float32 of shape \(3,\)"),
    "one number for all": (lambda m: reply(m, np.float32(1)), r"shape \(\)"),
    "nan": (lambda m: reply(m, np.array([1, np.nan, 1], np.float32)), "expected finite float32"),
    "inf": (lambda m: reply(m, np.array([1, np.inf, 1], np.float32)), "expected finite float32"),
    "float64": (lambda m: reply(m, np.full(3, 1e300)), "float64"),
    "words": (lambda m: reply(m, np.array(["a", "b", "c"])), "expected finite float32"),
    "no clients": (lambda m: good(m, clients=0), "for 0 clients"),
    "less than none": (lambda m: good(m, clients=-5), "for -5 clients"),
    "more clients than were asked": (lambda m: good(m, clients=10**9), "for 1000000000 clients, expected 1 to"),
    "nothing": (lambda m: Message(RecordDict(), reply_to=m), "reply is no update"),
}  # fmt: skip


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", BAD)
def test_one_clients_failure_never_costs_the_round(round_of, kind, place):
    """The others' work stands, whenever it came; the failure is counted, and why is told."""
    make, told = BAD[kind]
    strategy, messages = round_of()
    replies = [make(message) if number == place else good(message, 2.0) for number, message in enumerate(messages)]
    arrays, metrics = strategy.aggregate_train(4, replies)
    assert np.array_equal(arrays["flat"].numpy(), START + 2)
    assert (metrics["clients"], metrics["failed"]) == (2, 1)
    (reason,) = strategy.reasons
    assert re.search(told, reason)


def test_silence_is_a_failure_with_a_reason(round_of):
    strategy, messages = round_of()
    _, metrics = strategy.aggregate_train(4, [good(messages[1])])
    assert (metrics["clients"], metrics["failed"]) == (1, 2)
    assert strategy.reasons == ["no answer in time"]


def test_too_few_replies_change_nothing(round_of):
    strategy, messages = round_of(min_replies=2, optimizer="fedavgm")
    state = strategy.state
    arrays, metrics = strategy.aggregate_train(4, [good(messages[0])])
    assert arrays is None
    assert strategy.state is state
    assert metrics["failed"] == 2
    arrays, _ = strategy.aggregate_train(4, [good(messages[0]), good(messages[1])])
    assert arrays is not None


def test_reasons_are_of_the_last_round_alone(round_of):
    strategy, messages = round_of()
    strategy.aggregate_train(4, [BAD["an error"][0](messages[0])])
    strategy.aggregate_train(4, [good(message) for message in messages])
    assert strategy.reasons == []


def test_divergence_stops_the_run_with_what_to_do(round_of):
    strategy, messages = round_of(learning_rate=1e30)
    state = strategy.state
    with pytest.raises(
        InputError, match=r"round 4: the global parameters are no longer finite; lower federation\.optimizer"
    ):
        strategy.aggregate_train(4, [good(message, 1e30) for message in messages])
    assert strategy.state is state


def test_nobody_evaluates_on_devices(round_of):
    strategy, _ = round_of()
    assert list(strategy.configure_evaluate(4, ArrayRecord(), ConfigRecord(), None)) == []
    assert strategy.aggregate_evaluate(4, []) is None


def test_a_rule_takes_each_devices_update_in_whatever_order_they_come(round_of):
    values = (5.0, 1.0, 2.0, 100.0)
    results = []
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        strategy, messages = round_of(clients=4)
        strategy.rule = AGGREGATION_RULES.parse({"name": "median", "byzantine": 0.25})
        arrays, metrics = strategy.aggregate_train(4, [good(messages[place], values[place]) for place in order])
        results.append(arrays["flat"].numpy())
        assert metrics["failed"] == 0
    np.testing.assert_allclose(results[0], START + 3.5)
    assert np.array_equal(*results)


def test_a_rule_leaves_out_who_failed_and_refuses_sums(round_of):
    strategy, messages = round_of(clients=5)
    strategy.rule = AGGREGATION_RULES.parse("median")
    replies = [good(messages[0], 1.0), BAD["an error"][0](messages[1]), good(messages[2], 3.0)]
    replies += [good(messages[3], 50.0, clients=2), good(messages[4], 4.0), good(messages[4], 9.0)]
    arrays, metrics = strategy.aggregate_train(4, replies)
    np.testing.assert_allclose(arrays["flat"].numpy(), START + 3)
    assert (metrics["clients"], metrics["failed"]) == (3, 2)
    assert (
        strategy.reasons[1]
        == "node 103 sent an update for 2 clients where aggregation rule 'median' takes one of each device asked"
    )
    assert (
        strategy.reasons[2].startswith("a device sent an update for 1 clients, expected")
        or "node 104" in strategy.reasons[2]
    )


def test_fewer_updates_than_a_rule_needs_change_nothing(round_of):
    strategy, messages = round_of(clients=5)
    strategy.rule = AGGREGATION_RULES.parse("multi-krum")
    arrays, metrics = strategy.aggregate_train(4, [good(message) for message in messages[:2]])
    assert arrays is None
    assert (metrics["clients"], metrics["failed"]) == (2, 3)


@pytest.mark.parametrize("adaptive", [False, True])
def test_under_noise_on_the_sum_nobody_pushes_harder_than_the_clip_norm(round_of, adaptive):
    """The noise hides as much and no more; a device that does not clip has failed, alone or in a sum."""
    strategy, messages = round_of(clients=6)
    clip = strategy.terms.privacy.clip_norm
    strategy.opening = NoisySum(clip, 1e-9, 1.0, 6, AdaptiveClip(quantile=0.5) if adaptive else None)
    strategy.mechanism = strategy.opening.begin(3)

    def pushed(message, length, clients=1, said=0.5):
        delta = [length, 0.0, 0.0, said * clients] if adaptive else [length, 0.0, 0.0]
        return reply(message, np.array(delta, np.float32), clients)

    wrong = [pushed(messages[0], 1.01 * clip), pushed(messages[1], -2.01 * clip, clients=2)]
    wrong += [pushed(messages[2], 0.0, said=0.6)] if adaptive else []
    replies = [*wrong, pushed(messages[3], clip), pushed(messages[4], 2 * clip, clients=2)]
    _, metrics = strategy.aggregate_train(4, replies)
    assert metrics["clients"] == 3
    assert len(strategy.reasons) == len(wrong)
    assert all("beyond their clip norm" in reason for reason in strategy.reasons)
