"""Messages: there and back unchanged, and bytes that are none are refused with a reason."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from everbloom.config import LabelConfig
from everbloom.data.timeline import FOREVER, TrainingWindow
from everbloom.errors import SchemaError
from everbloom.wire import Task, Terms, Update


@pytest.fixture
def task(small) -> Task:
    experiment = small(privacy=True, data={"positives": {"view": 1.0, "purchase": 2.0}})
    terms = Terms(
        seed=2**62,
        labels={"positives": experiment.data.positives, "min_value": experiment.data.min_value},
        text=experiment.data.text,
        model=experiment.model,
        learning=experiment.learning,
        privacy=experiment.privacy,
        course={"rounds": 12, "population": 10, "cohort": 3},
    )
    window = TrainingWindow(np.iinfo(np.int64).min, FOREVER, 2)
    return Task(np.arange(6, dtype=np.float32) / 7, "abc", terms, 3, 9, window)


def through_bytes(content: RecordDict) -> RecordDict:
    """What arrives on the other side of a network."""
    return RecordDict.inflate(content.deflate(), content.children)


def test_a_task_arrives_as_it_was_sent(task):
    found = Task.unpack(through_bytes(task.pack()))
    assert np.array_equal(found.parameters, task.parameters)
    assert found.parameters.dtype == np.float32
    assert (found.schema, found.period, found.round, found.window) == ("abc", 3, 9, task.window)
    assert found.terms == task.terms
    assert found.terms.labels.positives == {"view": 1.0, "purchase": 2.0}


def test_terms_that_leave_things_to_their_defaults_arrive_too(task):
    bare = replace(task, terms=task.terms.model_copy(update={"text": None, "labels": LabelConfig()}))
    assert Task.unpack(through_bytes(bare.pack())).terms == bare.terms


def test_an_update_arrives_as_it_was_sent_and_holds_nothing_else():
    update = Update(np.array([0.5, -1e-30], dtype=np.float32), 3, "abc")
    content = update.pack()
    found = Update.unpack(through_bytes(content))
    assert np.array_equal(found.delta, update.delta)
    assert (found.clients, found.schema) == (3, "abc")
    sent = {key: sorted(record) for key, record in content.items()}
    assert sent == {"update": ["delta"], "meta": ["clients", "schema"]}  # no loss, no number of examples


def with_meta(**meta: object) -> RecordDict:
    record = {"clients": 1, "schema": "s", **meta}
    return RecordDict({"update": ArrayRecord({"delta": Array(np.ones(2, np.float32))}), "meta": ConfigRecord(record)})


def with_bytes(data: bytes, stype: str = "numpy.ndarray") -> RecordDict:
    content = with_meta()
    content["update"] = ArrayRecord({"delta": Array("float32", (2,), stype, data)})
    return content


@pytest.mark.parametrize(
    "make",
    [
        RecordDict,
        lambda: RecordDict({"meta": ConfigRecord({"clients": 1, "schema": "s"})}),
        lambda: with_meta(clients="many"),
        lambda: with_meta(clients=float("inf")),
        lambda: with_meta(clients=[1, 2]),
        lambda: with_bytes(b""),
        lambda: with_bytes(b"PK\x03\x04 no zip"),
        lambda: with_bytes(b"\x93NUMPY garbage"),
        lambda: with_bytes(b"\x80\x04K\x01.", "numpy.ndarray"),
        lambda: with_bytes(np.ones(2, np.float32).tobytes(), "torch"),
    ],
)
def test_what_is_no_update_is_refused(make: Callable[[], RecordDict]):
    with pytest.raises(SchemaError, match="reply is no update of this version"):
        Update.unpack(make())


@pytest.mark.parametrize(
    "change", [{"terms": "{}"}, {"terms": "no json"}, {"window": [1, 2]}, {"window": 3}, {"round": "first"}]
)
def test_what_is_no_task_is_refused(task, change):
    content = task.pack()
    for key, value in change.items():
        content["task"][key] = value
    with pytest.raises(SchemaError, match="message is no task of this version"):
        Task.unpack(content)


def test_terms_of_another_version_are_refused(task):
    content = task.pack()
    content["task"]["terms"] = content["task"]["terms"].replace('"seed"', '"sede"')
    with pytest.raises(SchemaError, match="sede"):
        Task.unpack(content)
