"""A job done at once is the job done device by device: the same sums, charges and refusals."""

import numpy as np
import pytest
import torch

from client.workbench import build_workbench
from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError, InputError, SchemaError
from everbloom.wire import Task
from simulation.cohort import CohortWorker, torch_device
from simulation.devices import DeviceWorker

PRIVATE = {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 20}
POISSON = {**PRIVATE, "sampling": "poisson", "sample_rate": 0.3}
CASES = {
    "plain": {},
    "plain, steps": {"learning": {"local_steps": 2, "max_examples": 5, "proximal_mu": 0.1}},
    "windows": {"learning": {"examples": "windows", "negatives": 16}},
    "private": {"privacy": PRIVATE},
    "private windows": {"privacy": PRIVATE, "learning": {"examples": "windows", "negatives": 16}},
    "prior": {"model": {"dim": 8, "prior": {"rounds": 1}}},
    "prior, private": {"model": {"dim": 8, "prior": {"rounds": 1}}, "privacy": PRIVATE},
    "prior, poisson, steps": {
        "model": {"dim": 8, "prior": {"rounds": 2}},
        "privacy": POISSON,
        "learning": {"examples": "windows", "local_steps": 3},
    },
    "poisson, steps": {"privacy": POISSON, "learning": {"examples": "next-item", "local_steps": 3}},
}
CLIENTS = np.array([0, 2, 3, 5])


@pytest.fixture
def case(tiny, opened):
    return lambda name: opened(tiny(users=6, **CASES[name]))


def task_of(study, round=1, period=0, swell=1.0):
    parameters = study.layout.flat(study.new_model()) * np.float32(swell)
    return Task(parameters, study.layout.schema, study.terms, period, round, study.timeline.window(period)).pack()


def workers(study):
    """(device by device, at once one by one, at once summed), each with ledgers of its own."""
    ledgers = [np.zeros(study.clients, dtype=np.int32) for _ in range(3)]
    return (
        DeviceWorker(study, ledgers[0]),
        CohortWorker(study, ledgers[1], folded=False, memory=None),
        CohortWorker(study, ledgers[2], folded=True, memory=None),
    ), ledgers


def off(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", CASES)
def test_the_same_updates_and_charges(case, name):
    study = case(name)
    (devices, apart, together), ledgers = workers(study)
    for round in (1, 2):
        content = task_of(study, round)
        expected = devices.train(content, CLIENTS)
        found, total = apart.train(content, CLIENTS), together.train(content, CLIENTS)
        assert not expected.failures
        assert not found.failures
        assert not total.failures
        assert [result.folded for result in (expected, found, total)] == [False, False, True]
        assert expected.schema == found.schema == total.schema
        for result in (expected, found, total):
            assert np.array_equal(result.trained, np.arange(len(CLIENTS)))
        for one, other in zip(found.deltas, expected.deltas, strict=True):
            assert off(one, other) < 1e-5
        assert total.deltas.shape == (1, study.layout.size())
        assert off(total.deltas[0], expected.deltas.sum(axis=0)) < 1e-5
        for ledger in ledgers[1:]:
            assert np.array_equal(ledger, ledgers[0])
    if study.plan is not None:
        assert np.array_equal(ledgers[0], np.isin(np.arange(study.clients), CLIENTS) * 2)


@pytest.mark.parametrize("spent", [[2], [0, 5], CLIENTS.tolist()], ids=str)
@pytest.mark.parametrize("name", ["private", "poisson, steps"])
def test_the_same_refusals(case, name, spent):
    """Who has nothing left is refused, is not charged, and is not in the sum; also if it is everybody."""
    study = case(name)
    found_by, ledgers = workers(study)
    for ledger in ledgers:
        ledger[spent] = study.plan.max_participations
    content = task_of(study)
    expected, found, total = (worker.train(content, CLIENTS) for worker in found_by)
    assert expected.failures == found.failures == total.failures
    assert [int(CLIENTS[place]) for place in expected.failures] == spent
    assert np.array_equal(found.trained, expected.trained)
    assert np.array_equal(total.trained, expected.trained)
    assert np.array_equal(ledgers[1], ledgers[0])
    assert np.array_equal(ledgers[2], ledgers[0])
    if len(spent) < len(CLIENTS):
        assert off(found.deltas, expected.deltas) < 1e-5
        assert off(total.deltas[0], expected.deltas.sum(axis=0)) < 1e-5


@pytest.mark.parametrize("name", ["plain", "private"])
def test_the_same_word_for_what_is_no_number(case, name):
    """And it is charged: the data were read."""
    study = case(name)
    found_by, ledgers = workers(study)
    content = task_of(study, swell=1e38)
    expected, found, total = (worker.train(content, CLIENTS) for worker in found_by)
    assert set(expected.failures) == {0, 1, 2, 3}
    assert expected.failures == found.failures == total.failures
    assert len(found.trained) == len(total.trained) == 0
    assert np.array_equal(ledgers[1], ledgers[0])
    assert np.array_equal(ledgers[2], ledgers[0])


def test_another_model_is_refused(case):
    study = case("private")
    worker = CohortWorker(study, np.zeros(study.clients, dtype=np.int32), folded=True, memory=None)
    parameters = np.zeros(3, dtype=np.float32)
    task = Task(parameters, study.layout.schema, study.terms, 0, 1, study.timeline.window(0)).pack()
    with pytest.raises(SchemaError, match="shape"):
        worker.train(task, CLIENTS)
    assert not worker.participations.any(), "before anything is charged"


def test_other_terms_need_other_tools(case):
    """Tasks of two experiments in turn; each is answered by its own terms."""
    one, other = case("plain"), case("private")
    worker = CohortWorker(one, np.zeros(one.clients, dtype=np.int32), folded=True, memory=None)
    first = worker.train(task_of(one), CLIENTS).deltas
    noised = worker.train(task_of(other), CLIENTS).deltas
    assert off(noised, first) > 0.5
    assert np.array_equal(worker.train(task_of(one), CLIENTS).deltas, first)


def test_a_memory_that_is_too_small_is_said(case):
    study = case("plain")
    worker = CohortWorker(study, np.zeros(study.clients, dtype=np.int32), folded=True, memory=100)
    with pytest.raises(InputError, match="memory_mb"):
        worker.train(task_of(study), CLIENTS)


def test_a_cohort_is_what_the_devices_build(case):
    """One client's examples and draws do not depend on who else is in the job."""
    study = case("poisson, steps")
    worker = CohortWorker(study, np.zeros(study.clients, dtype=np.int32), folded=True, memory=None)
    bench = build_workbench(study.terms, study.dataset.catalog.first_seen, study.features)

    def cohort(clients):
        return worker.cohort(np.array(clients), Task.unpack(task_of(study)), bench)

    whole, alone = cohort([0, 2, 3]), cohort([2])
    rows = torch.arange(whole.first[1], whole.first[1] + whole.counts[1])
    assert torch.equal(whole.examples.items[rows], alone.examples.items)
    assert torch.equal(whole.negatives[1:2], alone.negatives)
    assert whole.dropout[1] == alone.dropout[0]
    drawn = [
        torch.rand(5, generator=made.fresh_draws()[place].noise.generator) for made, place in ((whole, 1), (alone, 0))
    ]
    assert torch.equal(*drawn)


def test_where_cohorts_are_trained(monkeypatch):
    for available in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert torch_device(RuntimeConfig()).type == "cpu"
        assert torch_device(RuntimeConfig(device="auto")).type == ("cuda" if available else "cpu")
    assert torch_device(RuntimeConfig(device="cuda")).type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU"):
        torch_device(RuntimeConfig(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", CASES)
def test_the_same_on_a_gpu(tiny, opened, name):
    study = opened(tiny(users=6, **CASES[name]))
    gpu = opened(tiny(users=6, **CASES[name], runtime={"device": "cuda"}))
    content = task_of(study)
    expected, found = (
        CohortWorker(one, np.zeros(one.clients, dtype=np.int32), folded=False, memory=None).train(content, CLIENTS)
        for one in (study, gpu)
    )
    assert off(found.deltas, expected.deltas) < 1e-4
