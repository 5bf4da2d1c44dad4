"""What simulated devices learn for themselves: the same on every path, kept from round to round and over a stop, measured and never sent."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from everbloom.config import RuntimeConfig
from everbloom.errors import CheckpointError, ConfigError, PrivacyError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.wire import Task
from server.accounting import Accounting
from server.checkpoint import load_checkpoint
from server.observer import Silent
from server.released import released
from server.run_directory import RunDirectory
from simulation.cohort import CohortWorker
from simulation.devices import DeviceWorker
from simulation.personal import PersonalFiles, open_personal, served_kept
from simulation.run import check_personal, run_in_process

PERSONAL = {"model": {"user": {"personal": True}}, "learning": {"personal_rate": 0.5}}
CLIENTS = np.array([0, 2, 3, 11])


@pytest.fixture
def personal(small, study_of):
    """(**tables) -> a study of 20 devices that learn for themselves, over two periods of three rounds."""

    def build(**tables):
        learning = {**PERSONAL["learning"], **tables.pop("learning", {})}
        federation = {"rounds": 3, **tables.pop("federation", {})}
        return study_of(small(model=PERSONAL["model"], learning=learning, federation=federation, **tables))

    return build


def run(study, folder: Path) -> RunDirectory:
    directory = RunDirectory.create(folder, study.experiment)
    run_in_process(study, directory, Silent(), resume=False)
    return directory


def own(directory: RunDirectory) -> np.ndarray:
    return np.load(directory.path / "devices" / "personal.npy")


def parameters(directory: RunDirectory, study) -> np.ndarray:
    return load_checkpoint(directory, study.layout.schema, study.clients).parameters


def metrics(directory: RunDirectory) -> list[dict]:
    return directory.records("metrics")


@pytest.mark.parametrize("steps", [1, 2])
def test_a_job_at_once_is_the_job_device_by_device(personal, steps):
    """Over three rounds, each from what the last one left; whoever is not asked keeps nothing."""
    study = personal(learning={"local_steps": steps})
    arrays = [np.zeros((study.clients, 8), dtype=np.float32) for _ in range(3)]
    ledger = np.zeros(study.clients, dtype=np.int32)
    devices = DeviceWorker(study, ledger, arrays[0])
    apart, together = (CohortWorker(study, ledger, folded, None, arrays[1 + folded]) for folded in (False, True))
    for round in (1, 2, 3):
        task = Task(
            study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, round, study.timeline.window(0)
        )
        expected = devices.train(task.pack(), CLIENTS).deltas
        np.testing.assert_allclose(apart.train(task.pack(), CLIENTS).deltas, expected, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(
            together.train(task.pack(), CLIENTS).deltas[0], expected.sum(axis=0), rtol=1e-3, atol=1e-6
        )
        assert expected.shape[1] == study.layout.size()
        for array in arrays[1:]:
            np.testing.assert_allclose(array, arrays[0], rtol=1e-3, atol=1e-6)
    asked = np.isin(np.arange(study.clients), CLIENTS)
    assert np.abs(arrays[0][asked]).max(axis=1).min() > 1e-4
    assert not arrays[0][~asked].any()


@pytest.mark.parametrize("clients", ["one-by-one", "unfolded"])
def test_a_run_is_the_same_on_every_path(personal, tmp_path, clients):
    one, other = (personal(runtime={"clients": kind}) for kind in ("together", clients))
    expected, found = run(one, tmp_path / "one"), run(other, tmp_path / "other")
    assert np.abs(own(expected)).max() > 1e-3
    np.testing.assert_allclose(own(found), own(expected), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parameters(found, other), parameters(expected, one), rtol=1e-3, atol=1e-5)
    for record, same in zip(metrics(found), metrics(expected), strict=True):
        assert record == pytest.approx(same, abs=1e-3)


def test_two_processes_give_the_bytes_of_one(personal, tmp_path):
    one, two = personal(), personal(runtime={"workers": 2})
    expected, found = run(one, tmp_path / "one"), run(two, tmp_path / "two")
    assert own(found).tobytes() == own(expected).tobytes()
    assert parameters(found, two).tobytes() == parameters(expected, one).tobytes()
    assert metrics(found) == metrics(expected)


class Stopped(Exception):
    """In the place of a kill."""


@pytest.mark.parametrize("moment", ["training", "before the copy", "after the copy", "before the old one goes"])
@pytest.mark.parametrize("round", [2, 4])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(personal, tmp_path, monkeypatch, moment, round):
    """Whatever was trained since the last checkpoint is forgotten, and done again."""
    study = personal(federation={"checkpoint_every": 2, "rounds": 3})
    expected = run(study, tmp_path / "whole")
    place, name, before = {
        "training": (Accounting, "close_round", True),
        "before the copy": (PersonalFiles, "save", True),
        "after the copy": (PersonalFiles, "save", False),
        "before the old one goes": (PersonalFiles, "remove_but", True),
    }[moment]
    real, calls = getattr(place, name), []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == round and before:
            raise Stopped
        real(*arguments)
        if len(calls) == round:
            raise Stopped

    directory = RunDirectory.create(tmp_path / "stopped", study.experiment)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, dies)
        with pytest.raises(Stopped):
            run_in_process(study, directory, Silent(), resume=False)
    run_in_process(study, directory, Silent(), resume=True)
    assert own(directory).tobytes() == own(expected).tobytes()
    assert metrics(directory) == metrics(expected)
    left = {path.name for path in (directory.path / "devices").glob("personal*")}
    assert left == {"personal.npy", "personal-0001-000003.npy"}


def test_a_copy_that_is_gone_is_a_damaged_checkpoint(personal, tmp_path):
    study = personal()
    directory = run(study, tmp_path / "run")
    next((directory.path / "devices").glob("personal-*.npy")).write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"personal-0001-000003\.npy: damaged checkpoint"):
        run_in_process(study, directory, Silent(), resume=True)


def test_a_model_without_them_leaves_no_file(small, study_of, tmp_path):
    directory = run(study_of(small()), tmp_path / "run")
    assert [path.name for path in (directory.path / "devices").iterdir()] == ["participations.npy"]
    assert open_personal(tmp_path, study_of(small()), None) is None


def test_each_case_is_scored_with_its_users_own(personal, tmp_path):
    """A user vector moves by the offset: a dot product with the items is added to the shared model's scores."""
    study = personal()
    values = np.zeros((study.clients, 8), dtype=np.float32)
    values[3] = np.linspace(-1, 1, 8)
    cases = study.timeline.cases(0, "validation")
    flat = study.layout.flat(study.new_model())
    shared, known = (
        ModelScorer(study.new_model(), study.layout, flat, study.dataset.events, given) for given in (None, values)
    )
    every = np.arange(len(cases))
    moved = (known.score(cases, every) - shared.score(cases, every)).numpy()
    vectors = shared.catalogue.vectors.detach().numpy()
    expected = values[cases.user] @ vectors.T
    assert 3 in cases.user
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_the_federation_measures_what_the_devices_know(personal, small, study_of, tmp_path):
    """The first record of a period is of a model that nobody has trained for itself; then they part."""
    plain = run(study_of(small(federation={"rounds": 3})), tmp_path / "plain")
    found, expected = metrics(run(personal(), tmp_path / "personal")), metrics(plain)
    rounds = [(record["model"], record["period"], record["round"]) for record in found]
    assert rounds == [(record["model"], record["period"], record["round"]) for record in expected]
    assert found[:2] == expected[:2]
    assert found[2:] != expected[2:]
    lengths = [
        {record["bytes_up"] for record in map(json.loads, (tmp_path / kind / "rounds.jsonl").read_text().splitlines())}
        for kind in ("plain", "personal")
    ]
    assert lengths[0] == lengths[1]


@pytest.mark.parametrize("unit", ["example", "interaction"])
def test_a_unit_smaller_than_the_user_is_refused(personal, private_tables, unit):
    with pytest.raises(
        PrivacyError, match=r"personal\.weight: a personal parameter is learnt from all examples without noise"
    ):
        personal(privacy={**private_tables, "unit": unit})


def test_by_the_user_it_is_allowed(personal, tmp_path):
    privacy = {"unit": "user", "noise_multiplier": 1.0, "delta": 1e-4}
    study = personal(privacy=privacy, federation={"sampler": "poisson", "rounds": 2})
    assert np.abs(own(run(study, tmp_path / "run"))).max() > 1e-4


def test_on_ray_it_is_refused(small):
    experiment = small(model=PERSONAL["model"])
    check_personal(experiment)
    on_ray = experiment.model_copy(update={"runtime": RuntimeConfig(name="ray")})
    with pytest.raises(ConfigError, match=r"model\.user\.personal: Ray workers share no file"):
        check_personal(on_ray)
    check_personal(small())


def test_masks_do_not_stand_in_the_way(personal, tmp_path):
    """Every stage goes through each device's app."""
    privacy = {"unit": "user", "mechanism": {"name": "distributed"}, "noise_multiplier": 1.0, "delta": 1e-4}
    federation = {"rounds": 1, "cohort": 6, "min_replies": 4}
    masked, clear = (
        personal(privacy=privacy, federation=federation, runtime={"masks": masks}) for masks in (True, False)
    )
    found, expected = run(masked, tmp_path / "masked"), run(clear, tmp_path / "clear")
    np.testing.assert_allclose(own(found), own(expected), rtol=1e-3, atol=1e-6)
    assert np.abs(own(found)).max() > 1e-4


def test_what_a_run_serves_was_chosen_with_what_devices_keep(personal, tmp_path, monkeypatch):
    """A method that chooses among models at a period's end measures them as they serve; to read the run again does the same."""
    ends = []
    monkeypatch.setattr("simulation.run.write_summary", lambda run, study, state, peak: ends.append(state) or {})
    method = {"name": "merging", "weights": [0.2, 0.5, 0.8]}
    study = personal(continual={"method": method, "panel": 0.0}, learning={"personal_rate": 5.0})
    directory, measured = run(study, tmp_path / "run"), []
    real = type(study).scorer
    monkeypatch.setattr(
        type(study), "scorer", lambda self, *given, **named: measured.append(given[1]) or real(self, *given, **named)
    )
    kept = partial(served_kept, directory.path / "devices", study)
    state, found = released(study, directory, kept)
    np.testing.assert_array_equal(found, ends[0].parameters)
    assert len(measured) >= 3
    assert all(np.array_equal(one, kept(state)) for one in measured)
