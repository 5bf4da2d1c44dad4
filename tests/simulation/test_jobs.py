"""Dealing a cohort into jobs, and a job's result into replies."""

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from everbloom.wire import HELLO, TRAIN, Update
from simulation.grid import identify
from simulation.jobs import JobResult, by_content, deal, replies

WORK = st.lists(st.integers(0, 10**6), max_size=300).map(lambda work: np.array(work, dtype=np.int64))


@settings(max_examples=100, deadline=None)
@given(WORK)
def test_every_client_is_in_one_job(work):
    jobs = deal(work)
    assert np.array_equal(np.sort(np.concatenate([*jobs, []])), np.arange(len(work)))
    assert all((np.diff(job) > 0).all() for job in jobs)
    assert all(0 < len(job) <= 25 for job in jobs)


@settings(max_examples=100, deadline=None)
@given(WORK)
def test_jobs_are_of_one_size(work):
    """In clients to within one; in work to within the largest client's."""
    jobs = deal(work)
    if jobs:
        assert max(map(len, jobs)) - min(map(len, jobs)) <= 1
        done = [int(work[job].sum()) for job in jobs]
        assert max(done) - min(done) <= int(work.max())


@settings(max_examples=50, deadline=None)
@given(WORK)
def test_jobs_depend_on_the_work_alone(work):
    before = work.copy()
    for one, other in zip(deal(work), deal(work.copy()), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(work, before)


@pytest.mark.parametrize(("clients", "jobs"), [(0, 0), (1, 1), (4, 4), (9, 4), (100, 4), (101, 5), (600, 24)])
def test_how_many_jobs(clients, jobs):
    """Few clients are still spread over workers."""
    assert len(deal(np.arange(clients))) == jobs


@pytest.fixture
def messages():
    """To five clients, all of one content."""
    identify()
    content = RecordDict()
    found = [Message(content, dst_node_id=10 + number, message_type=TRAIN) for number in range(5)]
    for number, message in enumerate(found):
        message.metadata.__dict__["_message_id"] = f"m{number}"
    return found


JOB = np.array([1, 2, 4])
"""Positions of the job's clients among the messages."""


def result(trained, deltas, folded, failures=None):
    return JobResult(np.array(trained, dtype=np.int64), np.array(deltas, dtype=np.float32), folded, "s", failures or {})


def told(message):
    """(the message it answers, who sends it, what it says)."""
    metadata = message.metadata
    if message.has_error():
        return metadata.reply_to_message_id, metadata.src_node_id, message.error.reason
    update = Update.unpack(message.content)
    assert update.schema == "s"
    return metadata.reply_to_message_id, metadata.src_node_id, (update.delta.tolist(), update.clients)


def test_a_sum_is_one_reply_for_all_who_trained(messages):
    found = replies(messages, JOB, result([0, 2], [[5, 6]], folded=True, failures={1: "no luck"}))
    assert [told(reply) for reply in found] == [("m1", 11, ([5, 6], 2)), ("m2", 12, "no luck")]


def test_a_sum_is_sent_in_the_name_of_the_first_who_trained(messages):
    found = replies(messages, JOB, result([2], [[5, 6]], folded=True, failures={0: "a", 1: "b"}))
    assert [told(reply) for reply in found] == [("m4", 14, ([5, 6], 1)), ("m1", 11, "a"), ("m2", 12, "b")]


def test_updates_one_by_one(messages):
    found = replies(messages, JOB, result([0, 2], [[5, 6], [7, 8]], folded=False, failures={1: "no luck"}))
    assert [told(reply) for reply in found] == [
        ("m1", 11, ([5, 6], 1)), ("m4", 14, ([7, 8], 1)), ("m2", 12, "no luck"),
    ]  # fmt: skip


@pytest.mark.parametrize(("folded", "deltas"), [(True, [[0, 0]]), (False, np.zeros((0, 2)))])
def test_if_nobody_trained_nothing_is_sent(messages, folded, deltas):
    failures = {0: "a", 1: "b", 2: "c"}
    found = [told(reply) for reply in replies(messages, JOB, result([], deltas, folded, failures))]
    assert found == [("m1", 11, "a"), ("m2", 12, "b"), ("m4", 14, "c")]


def test_an_update_for_each_who_trained_or_none(messages):
    with pytest.raises(ValueError, match="zip"):
        list(replies(messages, JOB, result([0, 2], [[5, 6]], folded=False)))


def test_messages_are_grouped_by_their_content(messages):
    other = Message(RecordDict(), dst_node_id=3, message_type=TRAIN)
    groups = list(by_content([messages[0], other, messages[1]]))
    assert [group for _, group in groups] == [[messages[0], messages[1]], [other]]
    assert groups[0][0] is messages[0].content


def test_what_is_no_training_is_refused(messages):
    with pytest.raises(NotImplementedError, match="hello"):
        list(by_content([Message(RecordDict(), dst_node_id=3, message_type=HELLO)]))
