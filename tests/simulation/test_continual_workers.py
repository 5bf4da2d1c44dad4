"""Replay and distillation: a job done at once is the job done device by device."""

import numpy as np
import pytest

from everbloom.errors import PrivacyError
from everbloom.wire import Task
from simulation.cohort import CohortWorker
from simulation.devices import DeviceWorker

PRIVATE = {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 20}
TIMELINE = {"name": "timeline", "cut": "counts", "periods": 3, "warm_start": 0.5}
METHODS = {
    "uniform": {"name": "replay", "budget": 4},
    "recency": {"name": "replay", "budget": 4, "choice": "recency", "half_life_days": 10},
    "surprise": {"name": "replay", "budget": 4, "choice": "surprise"},
    "distillation": {"name": "distillation", "weight": 2.0, "temperature": 1.5},
}
KINDS = {
    "next item": {},
    "windows": {"learning": {"examples": "windows", "negatives": 16}},
    "steps": {"learning": {"examples": "next-item", "negatives": 16, "local_steps": 2}},
    "private": {"privacy": PRIVATE},
    "private, steps": {"privacy": PRIVATE, "learning": {"examples": "next-item", "local_steps": 2}},
    "users": {
        "privacy": {"unit": "user", "mechanism": "local", "noise_multiplier": 1.0, "delta": 1e-3},
        "learning": {"examples": "windows", "negatives": 16},
    },
}
CLIENTS = np.array([0, 2, 3, 5])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_the_same_updates(tiny, opened, method, kind):
    study = opened(tiny(users=6, protocol=TIMELINE, continual={"method": METHODS[method]}, **KINDS[kind]))
    parameters = study.layout.flat(study.new_model())
    teacher = parameters * np.float32(1.3) + np.float32(0.02) if method == "distillation" else None
    content = Task(parameters, study.layout.schema, study.terms, 2, 3, study.window(2), teacher=teacher).pack()
    ledgers = [np.zeros(study.clients, dtype=np.int32) for _ in range(3)]
    expected = DeviceWorker(study, ledgers[0]).train(content, CLIENTS)
    found = CohortWorker(study, ledgers[1], folded=False, memory=None).train(content, CLIENTS)
    total = CohortWorker(study, ledgers[2], folded=True, memory=None).train(content, CLIENTS)
    assert not expected.failures | found.failures | total.failures
    for one, other in zip(found.deltas, expected.deltas, strict=True):
        assert np.linalg.norm(one - other) <= 2e-5 * np.linalg.norm(other)
    whole = expected.deltas.sum(axis=0)
    assert np.linalg.norm(total.deltas[0] - whole) <= 2e-5 * np.linalg.norm(whole)
    plain = tiny(users=6, protocol=TIMELINE, continual={"method": "finetune"}, **KINDS[kind])
    usual = Task(parameters, study.layout.schema, opened(plain).terms, 2, 3, study.window(2)).pack()
    without = CohortWorker(opened(plain), np.zeros(study.clients, dtype=np.int32), True, None).train(usual, CLIENTS)
    assert np.linalg.norm(total.deltas - without.deltas) > 1e-3 * np.linalg.norm(without.deltas)


def test_a_teacher_that_ranks_alike_teaches_nothing(tiny, opened):
    tables = {"users": 6, "protocol": TIMELINE}
    study = opened(tiny(**tables, continual={"method": METHODS["distillation"]}))
    parameters = study.layout.flat(study.new_model())
    updates = []
    for teacher in (None, parameters):
        content = Task(parameters, study.layout.schema, study.terms, 2, 3, study.window(2), teacher=teacher).pack()
        updates.append(CohortWorker(study, np.zeros(6, dtype=np.int32), True, None).train(content, CLIENTS).deltas)
    assert np.allclose(*updates, atol=1e-6)


def test_replay_doubles_the_noise_for_examples_and_costs_users_nothing(tiny, opened):
    def noise(method, privacy):
        study = opened(tiny(users=6, protocol=TIMELINE, continual={"method": method}, privacy=privacy))
        return study.plan.noise_multiplier, study.plan.epsilon

    user = {"unit": "user", "mechanism": "local", "epsilon": 8.0, "delta": 1e-3}
    plain, epsilon = noise("finetune", PRIVATE)
    rehearsing, same = noise("replay", PRIVATE)
    assert rehearsing == pytest.approx(2 * plain)
    assert same == pytest.approx(epsilon)
    told = opened(tiny(protocol=TIMELINE, continual={"method": "replay"}, privacy=PRIVATE)).plan.describe()
    assert (
        "push another out of those that are rehearsed, so its presence moves a step's sum by up to 2 clip norms" in told
    )
    assert noise("replay", user) == noise("finetune", user)
    interaction = {**PRIVATE, "unit": "interaction"}
    assert noise("replay", interaction)[0] == pytest.approx(2 * noise("finetune", interaction)[0])


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"learning": {"examples": "windows"}}, "an example must be one event"),
        ({"privacy": {**PRIVATE, "sampling": "poisson", "sample_rate": 0.2}}, "no amplification is claimed"),
    ],
)
def test_replay_is_refused_where_its_sensitivity_is_unknown(tiny, opened, tables, told):
    with pytest.raises(PrivacyError, match=told):
        opened(tiny(protocol=TIMELINE, continual={"method": "replay"}, **{"privacy": PRIVATE, **tables}))


def test_frozen_spends_its_budget_in_the_warm_start(tiny, opened):
    user = {"unit": "user", "mechanism": "local", "epsilon": 8.0, "delta": 1e-3}
    frozen, learning = (
        opened(tiny(users=6, protocol=TIMELINE, continual={"method": method}, privacy=user)).plan
        for method in ("frozen", "finetune")
    )
    assert frozen.max_participations * 3 == learning.max_participations
    assert frozen.noise_multiplier < learning.noise_multiplier
