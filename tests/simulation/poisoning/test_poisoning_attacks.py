"""Attacks: each registered one is strict, finite, seeded, and does what it is for; attackers answer in their devices' place and nobody else's."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message

from everbloom.errors import ConfigError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.wire import TRAIN, Task, Update
from server.federation import initial_state
from simulation.grid import client_of, identify, node_of
from simulation.memory import PeakMemory
from simulation.poisoning.answers import Attackers
from simulation.poisoning.attack import ATTACKS, Knowledge
from simulation.poisoning.climbing import Climbing
from simulation.poisoning.scene import Scene
from simulation.workers import open_ledger, serial_answers

CLIENTS, PARAMETERS = 6, 40
FLEET = {"unit": "user", "epsilon": 8.0, "delta": 1e-3}
PRIVACY = {
    "none": ({}, {"unit": "none"}),
    "example": ({}, {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 10}),
    "central": ({"sampler": "poisson"}, {**FLEET, "mechanism": "central"}),
    "adaptive": (
        {"sampler": "poisson"},
        {**FLEET, "mechanism": {"name": "central", "adaptive_clip": {"quantile": 0.5}}},
    ),
    "matrix": ({}, {**FLEET, "mechanism": "matrix-factorisation"}),
    "local": ({}, {**FLEET, "mechanism": "local"}),
}


@pytest.fixture
def known() -> Knowledge:
    rng = np.random.default_rng(0)
    honest = (
        rng.normal(size=(CLIENTS, PARAMETERS)).astype(np.float32) * np.arange(1, CLIENTS + 1, dtype=np.float32)[:, None]
    )
    up = np.zeros(PARAMETERS, dtype=np.float32)
    up[3] = 1
    return Knowledge(honest, np.random.default_rng(5), lambda: up)


def norms(deltas: np.ndarray) -> np.ndarray:
    return np.linalg.norm(deltas.astype(np.float64), axis=1)


@pytest.mark.parametrize("name", ATTACKS.names())
def test_an_attack_is_strict_finite_and_seeded(name, known):
    attack = ATTACKS.parse(name)
    assert ATTACKS.parse(attack.model_dump(mode="json")) == attack
    assert hash(attack) == hash(ATTACKS.parse(name))
    with pytest.raises(ValueError, match="no_such_key"):
        ATTACKS.parse({"name": name, "no_such_key": 1})
    before = known.honest.copy()
    forged = attack.forge(known)
    again = attack.forge(Knowledge(known.honest, np.random.default_rng(5), known.climb))
    assert forged.dtype == np.float32
    assert forged.shape == known.honest.shape
    assert np.isfinite(forged).all()
    assert not np.array_equal(forged, known.honest)
    np.testing.assert_array_equal(forged, again)
    np.testing.assert_array_equal(known.honest, before)
    idle = Knowledge(np.zeros_like(known.honest), np.random.default_rng(5), known.climb)
    assert np.isfinite(attack.forge(idle)).all(), "from devices that have nothing to learn"


def test_noise_and_flips_have_the_length_they_say(known):
    noise = ATTACKS.parse({"name": "random", "scale": 3}).forge(known)
    np.testing.assert_allclose(norms(noise), 3 * norms(known.honest), rtol=1e-5)
    np.testing.assert_allclose(ATTACKS.parse({"name": "sign-flip", "scale": 2}).forge(known), -2 * known.honest)


def test_promotions_climb_one_boosted_and_one_no_longer_than_usual(known):
    boosted = ATTACKS.parse({"name": "promote", "boost": 4}).forge(known)
    np.testing.assert_allclose(boosted[:, 3], 4 * known.length, rtol=1e-5)
    assert (np.delete(boosted, 3, axis=1) == 0).all()
    within = ATTACKS.parse("promote-within").forge(known)
    np.testing.assert_allclose(norms(within), known.length, rtol=1e-5)
    assert (within[:, 3] > 0.5 * known.length).all()
    assert not np.array_equal(within[0], within[1])


@pytest.fixture
def study(robust, opened):
    """(privacy) -> 14 people, 4 of them attackers."""

    def build(kind="none"):
        federation, privacy = PRIVACY[kind]
        return opened(robust(privacy=privacy, **federation))

    return build


def test_the_scene_is_the_seeds_and_the_target_one_that_few_have_met(study):
    scene = Scene.of(study(), 0.3)
    assert len(scene.attackers) == 4
    assert (np.diff(scene.attackers) > 0).all()
    assert (Scene.of(study(), 0.3).attackers == scene.attackers).all()
    assert Scene.of(study(), 0.3).target == scene.target
    counts = np.bincount(study().dataset.events.item, minlength=60)
    assert 0 < counts[scene.target] <= np.median(counts[counts > 0])
    with pytest.raises(ConfigError, match=r"--fraction 0\.01: of 14 people that is nobody"):
        Scene.of(study(), 0.01)


def test_a_step_in_the_climbing_direction_raises_the_target_with_the_attackers(study):
    """Against the scores themselves, and against the same length in a random direction."""
    opened, scene = study(), Scene.of(study(), 0.3)
    climbing, start = Climbing(opened, scene), opened.layout.flat(opened.new_model())
    direction = climbing.direction(start)
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)

    def chance(parameters: np.ndarray) -> float:
        scorer = ModelScorer(opened.new_model(), opened.layout, parameters, opened.dataset.events)
        scores = scorer.score(climbing.cases, np.arange(len(climbing.cases)))
        return float(scores.log_softmax(dim=1)[:, scene.target].mean())

    other = np.random.default_rng(0).normal(size=len(start)).astype(np.float32)
    other /= np.linalg.norm(other)
    gained = chance(start + 0.05 * direction) - chance(start)
    assert gained > 3 * abs(chance(start + 0.05 * other) - chance(start))


def answers(study, folder, attack):
    """client -> its update's numbers, of everybody in one round; sums are of honest ones alone."""
    identify()
    folder.mkdir()
    state, scene = initial_state(study), Scene.of(study, 0.3)
    task = Task(state.parameters, study.layout.schema, study.terms, 0, 1, study.timeline.window(0)).pack()
    ledger = open_ledger(folder / "devices" / "participations.npy", state.participations)
    messages = [Message(task, dst_node_id=node_of(client), message_type=TRAIN) for client in range(study.clients)]
    for number, message in enumerate(messages):
        message.metadata.__dict__["_message_id"] = f"m{number}"
    with serial_answers(study, ledger, PeakMemory()) as honest:
        answer = honest if attack is None else Attackers(study, ledger, honest, ATTACKS.parse(attack), scene).answer
        return {client_of(reply.metadata.src_node_id): Update.unpack(reply.content) for reply in answer(messages)}


@pytest.mark.parametrize("kind", PRIVACY)
def test_attackers_answer_for_themselves_alone_and_send_what_the_server_takes(study, tmp_path, kind):
    opened, scene = study(kind), Scene.of(study(kind), 0.3)
    runtime = opened.experiment.runtime.model_copy(update={"clients": "unfolded"})
    opened = replace(opened, experiment=opened.experiment.model_copy(update={"runtime": runtime}))
    honest, attacked = answers(opened, tmp_path / "a", None), answers(opened, tmp_path / "b", "sign-flip")
    assert honest.keys() == attacked.keys() == set(range(14))
    for client, update in attacked.items():
        assert update.clients == 1
        same = np.allclose(
            update.delta, honest[client].delta, rtol=1e-3, atol=1e-6
        )  # other clients in a batch round otherwise
        assert same == (client not in scene.attackers)
        if kind in ("central", "matrix", "adaptive"):
            size = opened.layout.size()
            assert np.linalg.norm(update.delta[:size]) <= opened.plan.clip_norm * (1 + 1e-5)
            assert update.delta.shape == honest[client].delta.shape
