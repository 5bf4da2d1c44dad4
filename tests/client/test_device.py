"""A device: what it checks before it reads its data, what it charges, and all that it ever sends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from client.device import Device
from client.randomness import SeededRandomness, SystemRandomness
from client.workbench import Workbench, build_workbench
from everbloom.data.events import Histories
from everbloom.errors import BudgetExceeded, PrivacyError, SchemaError
from everbloom.study import Study
from everbloom.wire import Task, Terms


class Notes:
    """A ledger that writes down what happens, in order."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.happened: list[str] = []

    def reserve(self, plan: object, period: int, round: int) -> None:
        self.happened.append("reserve")
        if self.refuses:
            raise BudgetExceeded("spent")

    def commit(self, plan: object, period: int, round: int) -> None:
        self.happened.append("commit")


class Watched:
    """Events that note when they are read."""

    def __init__(self, events: Histories, notes: Notes) -> None:
        self.__dict__.update(_events=events, _notes=notes)

    def __getattr__(self, name: str) -> object:
        self._notes.happened.append("read")
        return getattr(self._events, name)

    def __len__(self) -> int:
        self._notes.happened.append("read")
        return len(self._events)


@pytest.fixture
def study(small, study_of) -> Study:
    return study_of(small(privacy=True))


def device_of(study: Study, notes: Notes, events: object = None, client: int = 2) -> Device:
    benches: dict[str, Workbench] = {}

    def bench(terms: Terms) -> Workbench:
        key = terms.model_dump_json()
        if key not in benches:
            benches[key] = build_workbench(terms, study.dataset.catalog.first_seen, study.features)
        return benches[key]

    own = study.dataset.events.of(client)
    return Device(
        client, events if events is not None else Watched(own, notes), notes, SeededRandomness(7, client), bench
    )


def task_of(study: Study, **change: object) -> Task:
    task = Task(study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.timeline.window(0))
    return replace(task, **change)


def test_it_charges_before_it_reads_and_commits_after_it_trained(study):
    notes = Notes()
    update = device_of(study, notes).train(task_of(study))
    assert notes.happened[0] == "reserve"
    assert notes.happened[-1] == "commit"
    assert "read" in notes.happened
    assert (update.clients, update.schema) == (1, study.layout.schema)
    assert update.delta.shape == (study.layout.size(),)


def test_when_the_budget_is_spent_no_data_is_read(study):
    notes = Notes(refuses=True)
    with pytest.raises(BudgetExceeded):
        device_of(study, notes).train(task_of(study))
    assert notes.happened == ["reserve"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "f00"},
        {"parameters": np.ones(1, dtype=np.float32)},
        {"parameters": np.ones((2, 2), dtype=np.float32)},
        {"parameters": np.array(["x"])},
    ],
)
def test_another_model_is_refused_before_anything_is_charged(study, change):
    notes = Notes()
    with pytest.raises(SchemaError):
        device_of(study, notes).train(task_of(study, **change))
    assert notes.happened == []


def test_terms_whose_claim_cannot_be_kept_are_refused(study):
    terms = study.terms.model_copy(update={"learning": study.terms.learning.model_copy(update={"max_examples": 3})})
    notes = Notes()
    with pytest.raises(PrivacyError, match="max_examples"):
        device_of(study, notes).train(task_of(study, terms=terms))
    assert notes.happened == []


def test_the_noise_is_the_devices_own_calculation(study):
    """It follows from the budget in the terms: there is nothing in a task that could lower it."""
    bench = build_workbench(study.terms, study.dataset.catalog.first_seen, study.features)
    assert bench.plan == study.plan


def test_without_privacy_nothing_is_charged(small, study_of):
    study = study_of(small())
    notes = Notes()
    device_of(study, notes).train(task_of(study))
    assert set(notes.happened) == {"read"}


def test_a_device_without_events_answers_with_noise(study):
    nothing = Histories.of_one(*(np.zeros(0, dtype=kind) for kind in (np.int32, np.int64, np.uint8, np.float32)))
    delta = device_of(study, Notes(), nothing).train(task_of(study)).delta
    assert np.std(delta) == pytest.approx(0.1, rel=0.15)


def test_the_update_depends_on_seed_period_round_and_client(study):
    first = device_of(study, Notes()).train(task_of(study)).delta
    assert np.array_equal(device_of(study, Notes()).train(task_of(study)).delta, first)
    assert not np.allclose(device_of(study, Notes()).train(task_of(study, round=2)).delta, first)
    assert not np.allclose(device_of(study, Notes(), client=3).train(task_of(study)).delta, first)


def test_seeded_draws_repeat_and_the_systems_never_do():
    def numbers(draws) -> tuple:
        return (
            draws.dropout,
            torch.rand(3, generator=draws.sampling).tolist(),
            draws.noise.words(3).tolist(),
        )

    seeded = SeededRandomness(1, 2)
    assert numbers(seeded.draws(0, 1)) == numbers(seeded.draws(0, 1))
    assert numbers(seeded.draws(0, 1)) != numbers(SeededRandomness(1, 3).draws(0, 1))
    one, other = numbers(SystemRandomness().draws(0, 1)), numbers(SystemRandomness().draws(0, 1))
    assert all(a != b for a, b in zip(one, other, strict=True))
    assert one[1] != one[2]
