"""Federations that fine-tune a language model: its adapters move and nothing else of it, on every path the same."""

from pathlib import Path

import numpy as np
import pytest

from everbloom.methods import ADAPTERS
from everbloom.wire import Task
from server.checkpoint import load_checkpoint
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.cohort import CohortWorker
from simulation.devices import DeviceWorker
from simulation.run import run_in_process

LANGUAGE_MODEL = {
    "name": "lm",
    "model": {"config": "gpt2", "options": {"n_embd": 16, "n_layer": 3, "n_head": 2}},
    "pooling": "last",
    "max_tokens": 8,
}
PRIVACY = {
    "none": {},
    "example": {"privacy": True},
    "user": {
        "privacy": {"unit": "user", "noise_multiplier": 0.5, "delta": 1e-4},
        "federation": {"sampler": "poisson"},
    },
}


@pytest.fixture
def tower_study(small, study_of):
    """(adapter, **tables) -> a study of 20 devices whose items have a tower."""

    def build(adapter="ffa-lora", **tables):
        items = {"features": LANGUAGE_MODEL, "tower": {"adapter": adapter}}
        return study_of(small(model={"items": items}, **tables))

    return build


def finished(study, folder: Path):
    """The released parameters of a whole run."""
    directory = RunDirectory.create(folder, study.experiment)
    run_in_process(study, directory, Silent(), resume=False)
    return load_checkpoint(directory, study.layout.schema, study.clients).parameters


@pytest.mark.parametrize("privacy", PRIVACY)
@pytest.mark.parametrize("adapter", ADAPTERS.names())
def test_adapters_have_changed_and_nothing_that_is_frozen(tower_study, tmp_path, adapter, privacy):
    study = tower_study(adapter, **PRIVACY[privacy])
    model = study.new_model()
    frozen = study.layout.flat(model, "frozen")
    before, after = study.layout.flat(model), finished(study, tmp_path / "run")
    adapters = [slot for slot in study.layout.slots if slot.group == "shared" and "item.tower" in slot.name]
    assert adapters
    moved = {slot.name: np.abs(after - before)[slot.start : slot.end].max() for slot in adapters}
    assert all(distance > 0 for name, distance in moved.items() if not name.endswith(("a.weight", "down.weight"))), (
        moved
    )
    assert any(distance > 1e-6 for distance in moved.values())
    assert np.array_equal(study.layout.flat(model, "frozen"), frozen)
    assert np.array_equal(study.layout.flat(study.new_model(), "frozen"), frozen)
    assert not any(
        slot.name.startswith("item.tower") and slot.group == "shared" and ".branch." not in slot.name
        for slot in study.layout.slots
    )


@pytest.mark.parametrize("privacy", PRIVACY)
def test_a_job_at_once_is_the_job_device_by_device(tower_study, privacy):
    study = tower_study(learning={"local_steps": 2}, **PRIVACY[privacy])
    clients = np.array([0, 2, 3, 11])
    task = Task(study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.window(0))
    ledger = [np.zeros(study.clients, dtype=np.int32) for _ in range(2)]
    found = CohortWorker(study, ledger[0], folded=False, memory=None).train(task.pack(), clients)
    expected = DeviceWorker(study, ledger[1]).train(task.pack(), clients)
    difference = np.linalg.norm(found.deltas - expected.deltas)
    assert difference <= 1e-4 * np.linalg.norm(expected.deltas)
