"""What the owner searched for is read where the model reads it: by the process that recommends and by the one that trains, as they stand now."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictBytes
from served_devices import changed

from client.service.private_store import Event, PrivateStore
from client.service.recommending import Recommender
from client.service.training import Trainer
from client.store import stored_workbench
from everbloom.data.events import BEHAVIOURS
from everbloom.study import Study
from everbloom.wire import TRAIN, Task, Update

SEARCH = BEHAVIOURS.index("search")
NOW = 1_720_000_000


@pytest.fixture
def device_study(small, study_of) -> Study:
    return study_of(small(privacy=True, model={"items": {"features": {"name": "lm"}, "feature_dim": 6}}))


@pytest.fixture
def store(folder):
    opened = PrivateStore(folder.store)
    opened.add([Event(item, NOW + item, 0) for item in range(4)], NOW + 9)
    yield opened
    opened.close()


def best(recommender: Recommender) -> list[tuple[str, float]]:
    reply, _ = recommender.work({"do": "recommend", "n": 30, "reasons": False}, b"")
    return [(one["item"], one["score"]) for one in reply["items"]]


def reading_searches(task: Task, folder) -> Task:
    """The task of a model that reads searches; they start with no weight, and here they have some."""
    user = {**task.terms.model.user.model_dump(mode="json"), "searches": True}
    asked = changed(task, model={"user": user})
    layout = stored_workbench(folder.path, asked.terms.model_dump_json()).layout
    start = np.random.default_rng(1).normal(0, 0.3, layout.size()).astype(np.float32)
    return replace(asked, parameters=start, schema=layout.schema, window=replace(task.window, end=NOW + 100))


def train(folder, message: str, task: Task) -> np.ndarray:
    body = recorddict_to_proto(task.pack()).SerializeToString()
    reply, content = Trainer(folder).answer(message, TRAIN, body)
    assert reply["status"] == "answered"
    found: RecordDict = recorddict_from_proto(RecordDictBytes.FromString(content))
    return Update.unpack(found).delta


def test_a_new_search_counts_at_once_for_recommendations_and_for_training(folder, store, task, device_study):
    task = reading_searches(task, folder)
    title = device_study.dataset.catalog.fields["title"][7]
    first = train(folder, "m1", task)
    recommender = Recommender(folder)
    before = best(recommender)
    store.add([Event(None, NOW + 10, SEARCH, text=title)], NOW + 10)
    after = best(recommender)
    assert after != before
    assert best(Recommender(folder)) == after, "as one that was started now"
    store.add([Event(5, NOW + 11, 0)], NOW + 11)
    second = train(folder, "m2", task)
    assert second.shape == first.shape
    assert not np.allclose(first, second)
