"""What a stored device has learnt for itself: there after a restart and in the next period, whole at any moment, and of one federation alone."""

from dataclasses import replace

import numpy as np
import pytest

from client.device import Device
from client.personal import StoredPersonal
from client.store import DeviceStore
from everbloom.errors import DataError, InputError
from everbloom.study import Study
from everbloom.wire import Task
from simulation.devices import DeviceWorker
from simulation.export import export_device

VALUES = np.linspace(-1, 1, 8, dtype=np.float32)


@pytest.fixture
def study(small, study_of) -> Study:
    return study_of(small(model={"user": {"personal": True}}))


@pytest.fixture
def task(study) -> Task:
    """The first of a federation."""
    return Task(study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.timeline.window(0))


@pytest.fixture
def stored(tmp_path) -> StoredPersonal:
    return StoredPersonal(tmp_path / "personal.safetensors")


def test_it_survives_rounds_and_periods(stored, task):
    assert not stored.load(task, 8).any()
    stored.save(task, VALUES)
    for later in (replace(task, round=2), replace(task, period=1, round=1)):
        assert np.array_equal(StoredPersonal(stored.path).load(later, 8), VALUES)


def test_another_federation_begins_with_nothing(stored, task):
    stored.save(replace(task, period=1), VALUES)
    seed = task.terms.model_copy(update={"seed": 99})
    others = (replace(task, period=1, terms=seed), replace(task, period=1, schema="f00"), task)
    for other in others:
        assert not stored.load(other, 8).any()
    assert not stored.load(replace(task, period=1), 4).any()
    assert np.array_equal(stored.load(replace(task, period=1), 8), VALUES)


@pytest.mark.parametrize("damage", [b"", b"half", b"\x00" * 80])
def test_damage_is_told(stored, task, damage):
    stored.path.write_bytes(damage)
    with pytest.raises(
        DataError, match=r"personal\.safetensors: damaged .* remove it, and what it held is learnt anew"
    ):
        stored.load(task, 8)


def test_a_kill_while_it_is_written_leaves_what_was_there(stored, task, monkeypatch):
    stored.save(task, VALUES)
    with monkeypatch.context() as patch:
        patch.setattr("client.personal.os.fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stored.save(task, VALUES + 1)
    assert np.array_equal(stored.load(task, 8), VALUES)
    stored.save(task, VALUES + 1)
    assert np.array_equal(stored.load(task, 8), VALUES + 1)


def test_a_stored_device_is_a_simulated_one(study, task, tmp_path):
    """Opened anew for every round; what it sends is as long as the shared parameters."""
    export_device(study, 3, tmp_path / "device")
    values = np.zeros((study.clients, 8), dtype=np.float32)
    simulated = DeviceWorker(study, np.zeros(study.clients, dtype=np.int32), values)
    for round in (1, 2, 3):
        current = replace(task, round=round)
        delta = DeviceStore(tmp_path / "device").open().train(current).delta
        assert np.array_equal(delta, simulated.train(current.pack(), np.array([3])).deltas[0])
        assert np.array_equal(StoredPersonal(tmp_path / "device" / "personal.safetensors").load(current, 8), values[3])
    assert np.abs(values[3]).max() > 1e-4


def test_a_stored_device_trains_its_own_model_as_a_simulated_one_does(small, study_of, tmp_path):
    """Under Ditto: what it sends is FedAvg's, and its model is there when it is opened anew."""
    study, plain = (study_of(small(learning={"algorithm": name, "local_steps": 2})) for name in ("ditto", None))
    start, window = study.layout.flat(study.new_model()), study.timeline.window(0)
    values = np.zeros((study.clients, len(start)), dtype=np.float32)
    workers = [
        DeviceWorker(one, np.zeros(one.clients, dtype=np.int32), kept) for one, kept in ((study, values), (plain, None))
    ]
    export_device(study, 3, tmp_path / "device")
    for round in (1, 2, 3):
        tasks = [Task(start, one.layout.schema, one.terms, 0, round, window) for one in (study, plain)]
        delta = DeviceStore(tmp_path / "device").open().train(tasks[0]).delta
        for worker, task in zip(workers, tasks, strict=True):
            assert np.array_equal(delta, worker.train(task.pack(), np.array([3])).deltas[0])
        own = StoredPersonal(tmp_path / "device" / "personal.safetensors").load(tasks[0], len(start))
        assert np.array_equal(own, values[3])
    assert np.abs(values[3] - start).max() > 1e-4


def test_a_device_without_a_place_for_it_does_not_train(study, task, tmp_path):
    export_device(study, 3, tmp_path / "device")
    whole = DeviceStore(tmp_path / "device").open()
    with pytest.raises(
        InputError, match=r"no place for what it would keep from round to round; set model\.user\.personal = false"
    ):
        Device(whole.client, whole.events, whole.ledger, whole.randomness, whole.workbench).train(task)
