"""A popularity prior in whole runs: one sound round more, the same on every path, resumed or not; and all components together."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from everbloom.data.timeline import positive_weights
from everbloom.learning.counting import Votes
from everbloom.models.recommender import layout_of
from server.observer import Observer
from server.run_directory import RunDirectory
from simulation.central import train_centrally
from simulation.run import run_in_process

FEATURES = {"name": "tfidf", "dims": 8}
HYBRID = {
    "items": {"features": FEATURES, "bias": "none"},
    "content": {"lags": 2},
    "prior": {"rounds": 1, "decay": 0.5},
    "cooccurrence": {"window": 2},
}
USER = {"unit": "user", "epsilon": 8.0, "delta": 1e-3, "clip_norm": 0.3}
PRIVACY = {
    "none": ({}, "uniform"),
    "example": ({"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 20}, "uniform"),
    "interaction": ({"unit": "interaction", "epsilon": 8.0, "delta": 1e-3, "denominator": 20}, "uniform"),
    "central": (USER, "poisson"),
    "adaptive": ({**USER, "mechanism": {"name": "central", "adaptive_clip": {"noise": 0.5}}}, "poisson"),
    "matrix-factorisation": ({**USER, "mechanism": {"name": "matrix-factorisation"}}, "uniform"),
    "distributed": ({**USER, "mechanism": {"name": "distributed", "min_cohort": 4}}, "uniform"),
    "local": ({**USER, "mechanism": {"name": "local"}}, "uniform"),
}


class Quiet(Observer):
    def round_done(self, record, reasons):
        assert not reasons, reasons

    def measured(self, records):
        return


@pytest.fixture
def hybrid(small):
    """(privacy, clients, **tables) -> an experiment with every component."""

    def build(name="none", clients="together", **tables):
        privacy, sampler = PRIVACY[name]
        federation = {"rounds": 2, "cohort": 6, "sampler": sampler, **tables.pop("federation", {})}
        return small(
            **{"model": HYBRID, "privacy": privacy, "learning": {"learning_rate": 0.5}, **tables},
            federation=federation,
            runtime={"clients": clients},
        )

    return build


@pytest.fixture
def ran(study_of, tmp_path):
    """(experiment, name) -> (study, final parameters, summary, directory)."""

    def run(experiment, name="run"):
        study, directory = study_of(experiment), RunDirectory.create(tmp_path / name, experiment)
        summary = run_in_process(study, directory, Quiet(), resume=False)
        found = load_file(next((tmp_path / name / "checkpoint").glob("*.safetensors")))["parameters"]
        return study, found, summary, directory

    return run


@pytest.mark.parametrize("name", PRIVACY)
def test_the_same_on_every_path(hybrid, ran, name):
    runs = {clients: ran(hybrid(name, clients), clients)[:2] for clients in ("together", "unfolded", "one-by-one")}
    study, expected = runs["together"]
    assert np.isfinite(expected).all()
    # Encoded sums differ by how a rounding falls, and counts are in units of the noise.
    tolerance = np.full(len(expected), 2e-3 if name == "distributed" else 1e-5)
    tolerance[study.layout.counted] = 0.2 if name == "distributed" else 1e-4
    for clients in ("unfolded", "one-by-one"):
        assert (np.abs(runs[clients][1] - expected) <= tolerance * (1 + np.abs(expected))).all(), clients


@pytest.mark.parametrize("name", [name for name in PRIVACY if name != "none"])
def test_a_round_that_counts_is_charged_like_any_other(hybrid, ran, name):
    """As many rounds of learning with none that counts, and the same noise: so much less is spent."""
    noise = {key: value for key, value in PRIVACY[name][0].items() if key != "epsilon"} | {"noise_multiplier": 3.0}
    study, _, summary, directory = ran(hybrid(name, privacy=noise))
    assert study.course.rounds == study.rounds == 2 * (2 + 1)
    longer = hybrid(name, privacy=noise, federation={"rounds": 3}, model={**HYBRID, "prior": None})
    assert study.plan.epsilon == pytest.approx(ran(longer, "longer")[0].plan.epsilon)
    rounds = directory.records("rounds")
    assert [(record["period"], record["round"]) for record in rounds] == [(p, r) for p in (0, 1) for r in (1, 2, 3)]
    assert rounds[0]["epsilon"] > 0
    assert summary["privacy"]["epsilon"] <= study.plan.epsilon + 1e-5


def test_counts_are_those_of_the_cohorts_and_learning_moves_none(hybrid, ran):
    everybody = hybrid(federation={"cohort": 1.0, "rounds": 2})
    study, parameters, _, _ = ran(everybody)
    log, layout = study.dataset.events, study.layout
    expected = np.zeros(len(study.dataset.catalog))
    users = log.histories(np.arange(log.users))
    weight = positive_weights(users, everybody.data)
    there = np.zeros(len(expected), dtype=bool)
    for period in range(study.timeline.periods):
        there = study.dataset.catalog.first_seen < study.timeline.window(period).end
        votes = Votes.of_users(users, weight, study.timeline.window(period), len(expected))
        expected = 0.5 * expected + np.bincount(votes.item, minlength=len(expected))
        expected[~there] = np.expm1(np.log1p(expected[there]).mean())  # nobody could have voted for it yet
    assert not there.all()
    np.testing.assert_allclose(parameters[layout.counted], expected, rtol=1e-5)
    start = layout.flat(study.new_model())
    learnt = np.delete(parameters - start, np.arange(len(start))[layout.counted])
    assert np.abs(learnt).max() > 1e-4


@pytest.mark.parametrize("name", ["none", "adaptive", "matrix-factorisation"])
def test_a_resumed_run_is_the_same(hybrid, study_of, ran, tmp_path, name):
    experiment = hybrid(name, federation={"checkpoint_every": 1})
    _, whole, _, _ = ran(experiment, "whole")

    class Stopped(Exception):
        pass

    class Stop(Quiet):
        def round_done(self, record, reasons):
            if (record["period"], record["round"]) == (1, 2):  # period 1 has counted, and its checkpoint is the last
                raise Stopped

    directory = RunDirectory.create(tmp_path / "stopped", experiment)
    with pytest.raises(Stopped):
        run_in_process(study_of(experiment), directory, Stop(), resume=False)
    run_in_process(study_of(experiment), RunDirectory.open(directory.path), Quiet(), resume=True)
    found = load_file(next((directory.path / "checkpoint").glob("*.safetensors")))["parameters"]
    assert np.array_equal(found, whole)


@pytest.mark.parametrize("component", ["content", "prior", "cooccurrence"])
def test_each_component_can_be_turned_off_or_fixed(hybrid, study_of, component):
    def sent(model):
        return set(layout_of(study_of(hybrid(model=model)).new_model()).names("shared"))

    learnt = f"{component}.weight.weight"
    assert learnt in sent(HYBRID)
    assert not [name for name in sent({**HYBRID, component: None}) if name.startswith(component)]
    assert learnt not in sent({**HYBRID, component: {**HYBRID[component], "learn": False}})


def test_votes_do_not_teach_an_adaptive_clip(hybrid, ran):
    clips = [record["clip_norm"] for record in ran(hybrid("adaptive"))[3].records("rounds")]
    assert clips[0] == clips[1] == pytest.approx(0.3)
    assert clips[2] != clips[1]


def test_pooled_training_counts_everybody(hybrid, study_of):
    study = study_of(hybrid(central={"epochs": 1}))
    found, _ = train_centrally(study, lambda epoch, loss, value: None)
    assert found["full"]["ndcg@10"] > 0
