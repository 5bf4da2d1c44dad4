"""A device that chooses one of several models recommends by that one, of which alone it keeps a copy."""

import numpy as np
import pytest

from client.personal import StoredPersonal
from client.service.model_file import GlobalModel
from everbloom.learning.clustered import chosen
from everbloom.wire import Task


@pytest.fixture
def device_study(small, study_of):
    """In the place of the other tests' study: three models, and updates with enough noise for the device's budget."""
    privacy = {"unit": "user", "delta": 1e-3, "clip_norm": 0.3, "noise_multiplier": 4.0, "mechanism": {"name": "local"}}
    learning = {"algorithm": {"name": "ifca", "clusters": 3}, "local_steps": 2}
    return study_of(small(privacy=privacy, learning=learning))


def test_it_recommends_by_the_model_that_it_has_chosen(serving, folder, task, device_study, own_events):
    service, study = serving(), device_study
    service.call("POST", "/events", body={"events": own_events})
    service.ask("o1", task, "query.model")
    stored = GlobalModel.load(folder.model)
    assert stored.schema == study.model_layout.schema != study.layout.schema
    assert np.array_equal(stored.parameters, study.copies.taken(task.parameters, 0))
    assert service.call("GET", "/recommendations", query={"n": 3})["items"]
    service.ask("m1", task)
    choice = int(chosen(StoredPersonal(folder.personal).load(task, 1)[None])[0])
    assert choice >= 0
    assert np.array_equal(GlobalModel.load(folder.model).parameters, study.copies.taken(task.parameters, choice))
    # Two of three models that fit nobody: whichever the device chose before, it now takes the one that is left.
    parameters = task.parameters.copy()
    left = (choice + 1) % 3
    for copy in range(3):
        if copy != left:
            study.copies.put(parameters, copy, 5 * study.copies.taken(parameters, copy))
    moved = Task(parameters, task.schema, task.terms, task.period, task.round + 1, task.window)
    service.ask("m2", moved)
    assert int(chosen(StoredPersonal(folder.personal).load(task, 1)[None])[0]) == left
    assert np.array_equal(GlobalModel.load(folder.model).parameters, study.copies.taken(parameters, left))
    assert service.call("GET", "/recommendations", query={"n": 3})["items"]
