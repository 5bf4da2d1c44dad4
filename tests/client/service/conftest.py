"""A device made of one synthetic user, its service as a real process, and what a federation asks it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served_devices import Service

from client.service.folder import DeviceFolder
from client.service.making import make_device
from client.service.model_file import GlobalModel
from client.service.service import BEHAVIOUR_NAMES
from everbloom.study import Study
from everbloom.wire import Task

USER = 2


@pytest.fixture
def device_study(small: Any, study_of: Any) -> Study:
    """The small experiment under privacy, of which a device's budget allows twenty rounds."""
    return study_of(small(privacy=True))


@pytest.fixture
def own_events(device_study: Study) -> list[dict[str, Any]]:
    """The events of one user in the form that the API takes."""
    log, catalog = device_study.dataset.events, device_study.dataset.catalog
    rows = log.rows(USER)
    return [
        {
            "item": catalog.item_ids[log.item[row]],
            "time": int(log.time[row]),
            "behaviour": BEHAVIOUR_NAMES[log.behaviour[row]],
            "value": float(log.value[row]),
        }
        for row in range(rows.start, rows.stop)
    ]


@pytest.fixture
def folder(device_study: Study, tmp_path: Path) -> DeviceFolder:
    """A device without events. Its noise follows from the experiment's seed, so that what it sends can be compared."""
    catalog = device_study.dataset.catalog
    return make_device(
        tmp_path / "device", catalog, USER, epsilon=40.0, delta=1e-3, min_cohort=5, seed=device_study.experiment.seed
    )


@pytest.fixture
def task(device_study: Study) -> Task:
    """What the server asks in its first round."""
    study = device_study
    start = study.initial_parameters()
    return Task(start, study.layout.schema, study.terms, 0, 1, study.timeline.window(0))


@pytest.fixture
def with_model(folder: DeviceFolder, task: Task) -> DeviceFolder:
    """The same device, which has a global model to recommend by."""
    terms = task.terms
    GlobalModel(task.parameters, terms.model, terms.text, terms.seed, task.schema, 0, 1, "f").save(folder.model)
    return folder


@pytest.fixture
def serving(folder: DeviceFolder) -> Iterator[Callable[..., Service]]:
    """(before="") -> the running service of `folder`; ended with the test."""
    started: list[Service] = []

    def start(before: str = "") -> Service:
        started.append(Service(folder, before).start())
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
