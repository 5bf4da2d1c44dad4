"""Federations that learn several models: they find tastes that are there, everybody is measured by the model of its choice; and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError, DataError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.experiment import parse_experiment
from everbloom.learning.clustered import chosen
from everbloom.methods import AGGREGATION_RULES, COMPRESSIONS, SERVER_OPTIMIZERS
from server.checkpoint import load_checkpoint
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.exporting import export_run
from simulation.run import check_personal, run_in_process
from simulation.trained import open_trained

ITEMS, EVENTS = 24, 10
STEPS = (1, 5)
"""From one item to the next: what the first half of the users does, and the second."""
USERS = 80


@pytest.fixture(scope="module")
def two_tastes(tmp_path_factory) -> Path:
    """Everybody goes round all items from anywhere, half of them one at a time, half of them five: from one item alone nobody can tell which."""
    rows = ["user,item,time"]
    for user in range(USERS):
        start = np.random.default_rng(user).integers(ITEMS)
        step = STEPS[user >= USERS // 2]
        rows += [f"u{user:02d},i{(start + step * event) % ITEMS},{event}" for event in range(EVENTS)]
    path = tmp_path_factory.mktemp("two-tastes") / "events.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def tastes_study(path, study_of, algorithm, **federation):
    source = {"name": "table", "path": str(path), "user": "user", "item": "item", "time": "time"}
    return study_of(
        parse_experiment(
            {
                "name": "two-tastes",
                "seed": 1,
                "data": {"source": source},
                "protocol": {"name": "leave-one-out"},
                "model": {
                    "dim": 16,
                    "user": {"layers": 1, "heads": 1, "history": 2, "feedforward": 1, "dropout": 0.0},
                },
                "learning": {"examples": "next-item", "negatives": 23, "local_steps": 2, "algorithm": algorithm},
                "federation": {
                    "rounds": 60,
                    "cohort": 40,
                    "optimizer": {"name": "fedadam", "learning_rate": 0.03},
                    "checkpoint_every": 60,
                    **federation,
                },
                "evaluation": {"every": 20, "k": [1], "select": "hr@1", "slices": False},
            }
        )
    )


def run(study, folder: Path) -> RunDirectory:
    directory = RunDirectory.create(folder, study.experiment)
    run_in_process(study, directory, Silent(), resume=False)
    return directory


def test_two_tastes_are_found_where_one_model_has_to_guess(two_tastes, study_of, tmp_path):
    found = {}
    for name, algorithm in (("one", None), ("two", {"name": "ifca", "clusters": 2})):
        study = tastes_study(two_tastes, study_of, algorithm)
        directory = run(study, tmp_path / name)
        tests = [r for r in directory.records("metrics") if r["split"] == "test" and r["model"] == "federated"]
        found[name] = next(r["hr@1"] for r in tests if r["protocol"] == "full")
    choice = chosen(np.load(tmp_path / "two" / "devices" / "personal.npy"))
    halves = [np.bincount(half, minlength=2) / len(half) for half in np.split(choice, 2)]
    assert found["two"] > 0.9
    assert found["one"] < 0.7
    assert abs(halves[0][0] - halves[1][0]) > 0.8, "the two halves have chosen different models"
    last = RunDirectory(tmp_path / "two").records("rounds")[-1]
    assert [last["chosen_0"], last["chosen_1"]] == np.bincount(choice, minlength=2).tolist()


CLUSTERS = {"name": "ifca", "clusters": 3}


def clustered(small, study_of, **tables):
    learning = {"algorithm": CLUSTERS, "local_steps": 2, "learning_rate": 0.2}
    federation = {"optimizer": {"name": "fedavg", "learning_rate": 1.0}, **tables.pop("federation", {})}
    return study_of(small(learning=learning, federation=federation, **tables))


@pytest.mark.parametrize("mechanism", ["local", "distributed", "central"])
def test_private_runs_are_the_same_on_every_path(small, study_of, tmp_path, mechanism):
    """One device after the other, whose noise it draws itself, is what a cohort has to equal."""
    federation = {"sampler": "poisson"} if mechanism == "central" else {}
    federation |= {"min_replies": 4} if mechanism == "distributed" else {}
    clip = {"adaptive_clip": {"noise": 0.5}} if mechanism == "central" else {}
    privacy = {"unit": "user", "mechanism": {"name": mechanism, **clip}, "noise_multiplier": 0.5, "delta": 1e-4}
    found = []
    for clients in ("one-by-one", "together", "unfolded"):
        study = clustered(small, study_of, privacy=privacy, federation=federation, runtime={"clients": clients})
        directory = run(study, tmp_path / clients)
        state = load_checkpoint(directory, study.layout.schema, study.clients)
        found.append((state.parameters, np.load(directory.path / "devices" / "personal.npy")))
    assert np.abs(found[0][0] - study.initial_parameters()).max() > 1e-3
    for parameters, kept in found[1:]:
        np.testing.assert_allclose(parameters, found[0][0], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(kept, found[0][1])


KINDS = {"aggregation": AGGREGATION_RULES, "compression": COMPRESSIONS, "optimizer": SERVER_OPTIMIZERS}


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, kind in KINDS.items() for name in kind.names()])
def test_every_rule_codec_and_optimizer_takes_all_models(small, study_of, tmp_path, key, name):
    study = clustered(small, study_of, federation={key: name})
    state = load_checkpoint(run(study, tmp_path / "run"), study.layout.schema, study.clients)
    assert np.isfinite(state.parameters).all()
    assert np.abs(state.parameters - study.initial_parameters()).max() > 1e-3


def test_everybody_is_scored_by_the_model_of_its_choice(small, study_of):
    study = clustered(small, study_of)
    vector = study.initial_parameters() + np.float32(0.2) * np.random.default_rng(1).normal(
        size=study.layout.size()
    ).astype(np.float32)
    kept = np.random.default_rng(2).integers(0, 4, size=(study.clients, 1)).astype(np.float32)
    kept[:8] = [[2], [2], [2], [2], [2], [2], [2], [0]]
    cases = study.timeline.cases(0, "validation")
    found = study.scorer(vector, kept).score(cases, np.arange(len(cases)))
    for position, user in enumerate(cases.user):
        choice = chosen(kept)[user]
        own = study.copies.taken(vector, max(int(choice), 0))
        alone = ModelScorer(study.new_model(), study.model_layout, own, study.dataset.events)
        np.testing.assert_allclose(found[position], alone.score(cases, np.array([position]))[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="known of simulated users alone"):
        study.scorer(vector)


def test_a_user_is_recommended_to_by_its_cluster(small, study_of, tmp_path):
    study = clustered(small, study_of)
    directory = run(study, tmp_path / "run")
    opened = open_trained(directory.path, Console(quiet=True), "to test")
    kept = np.load(directory.path / "devices" / "personal.npy")
    assert (chosen(kept) < 0).any()
    for user in range(study.clients):
        expected = study.copies.taken(opened.vector, max(int(chosen(kept)[user]), 0))
        assert np.array_equal(opened.of_user(user).parameters, expected)
        assert np.array_equal(study.model_layout.flat(opened.of_user(user).model), expected)


def test_what_knows_one_model_refuses_several(small, study_of, tmp_path):
    directory = run(clustered(small, study_of), tmp_path / "run")
    with pytest.raises(ConfigError, match="3 models were learnt side by side, and an export holds one"):
        export_run(directory.path, tmp_path / "out", False, Console(quiet=True), Console(quiet=True))
    assert not (tmp_path / "out").exists()
    with pytest.raises(
        ConfigError, match=r"\[continual\] with learning.algorithm = \"ifca\": .* remove one of the two$"
    ):
        clustered(small, study_of, continual={})
    with pytest.raises(ConfigError, match=r"leave out model.personal_layers and model.user.personal$"):
        clustered(small, study_of, model={"personal_layers": ["user."]})
    on_flower = study_of(small(learning={"algorithm": "ifca"})).experiment.model_copy(
        update={"runtime": RuntimeConfig(name="flower")}
    )
    with pytest.raises(ConfigError, match=r"real devices tell nobody which model they have chosen"):
        check_personal(on_flower)
