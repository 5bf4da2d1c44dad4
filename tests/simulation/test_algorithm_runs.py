"""Whole runs of every federated algorithm: the same on every path, over a stop, and what they send; and what is refused."""

import collections
from pathlib import Path

import numpy as np
import pytest

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError, InputError, PrivacyError, SchemaError
from everbloom.methods import ALGORITHMS
from everbloom.wire import Task
from server.accounting import Accounting
from server.checkpoint import load_checkpoint
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation import personal as personal_files
from simulation.devices import SimulatedDevices
from simulation.run import check_memory, check_personal, run_in_process

STEPS = 3
MODELS = {"fedrep": {"personal_layers": ["user.blocks."]}}
"""Of algorithms that want something of the model."""
KEEPING = [name for name in ALGORITHMS.names() if ALGORITHMS.parse(name).kept(1)]


@pytest.fixture
def algorithm_study(small, study_of):
    """(algorithm, **tables) -> a study of 20 devices over two periods of three rounds of six, several local steps each."""

    def build(algorithm, **tables):
        tables.setdefault("model", MODELS.get(algorithm, {}) if isinstance(algorithm, str) else {})
        learning = {"algorithm": algorithm, "local_steps": STEPS, "learning_rate": 0.2, **tables.pop("learning", {})}
        federation = {
            "rounds": 3,
            "optimizer": {"name": "fedavg", "learning_rate": 1.0},
            **tables.pop("federation", {}),
        }
        return study_of(small(learning=learning, federation=federation, **tables))

    return build


def run(study, folder: Path, resume: bool = False) -> RunDirectory:
    directory = RunDirectory(folder) if resume else RunDirectory.create(folder, study.experiment)
    run_in_process(study, directory, Silent(), resume)
    return directory


def arrays(directory: RunDirectory, study) -> dict[str, np.ndarray]:
    """What the run has come to: parameters, the algorithm's memory, what devices keep."""
    state = load_checkpoint(directory, study.layout.schema, study.clients)
    found = {"parameters": state.parameters, **state.algorithm}
    if study.kept:
        found["kept"] = np.load(directory.path / "devices" / "personal.npy")
    return found


@pytest.mark.parametrize("name", ALGORITHMS.names())
@pytest.mark.parametrize("clients", ["one-by-one", "unfolded"])
def test_a_run_is_the_same_on_every_path(algorithm_study, tmp_path, name, clients):
    one, other = (algorithm_study(name, runtime={"clients": kind}) for kind in ("together", clients))
    expected, found = (arrays(run(study, tmp_path / str(n)), study) for n, study in enumerate((one, other)))
    assert expected.keys() == found.keys()
    for key, values in expected.items():
        assert np.abs(values).max() > 1e-3, key
        np.testing.assert_allclose(found[key], values, rtol=1e-3, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_two_processes_give_the_bytes_of_one(algorithm_study, tmp_path, name):
    one, two = algorithm_study(name), algorithm_study(name, runtime={"workers": 2})
    expected, found = (run(study, tmp_path / str(n)) for n, study in enumerate((one, two)))
    for key, values in arrays(expected, one).items():
        assert arrays(found, two)[key].tobytes() == values.tobytes(), key
    assert found.records("metrics") == expected.records("metrics")


class Stopped(Exception):
    """In the place of a kill."""


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_a_stopped_run_goes_on_as_if_it_had_not_been(algorithm_study, tmp_path, monkeypatch, name):
    """Killed after a round whose checkpoint was not yet due, in the second period."""
    study = algorithm_study(name, federation={"checkpoint_every": 2})
    expected = run(study, tmp_path / "whole")
    real, calls = Accounting.close_round, []

    def dies(*arguments):
        calls.append(1)
        real(*arguments)
        if len(calls) == 4:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Accounting, "close_round", dies)
        with pytest.raises(Stopped):
            run(study, tmp_path / "stopped")
    directory = run(study, tmp_path / "stopped", resume=True)
    for key, values in arrays(expected, study).items():
        assert arrays(directory, study)[key].tobytes() == values.tobytes(), key
    assert directory.records("metrics") == expected.records("metrics")


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_it_changes_what_is_learnt_and_not_what_is_sent_up(algorithm_study, tmp_path, name):
    """Down there is a second vector where the algorithm says so; several models are sent whole, both ways."""
    study, plain = algorithm_study(name), algorithm_study(None, model=MODELS.get(name, {}))
    found, expected = (run(each, tmp_path / str(n)) for n, each in enumerate((study, plain)))
    learnt, copies = arrays(found, study)["parameters"], study.copies
    one = learnt if copies is None else copies.taken(learnt, 0)
    differs = np.abs(one - arrays(expected, plain)["parameters"]).max()
    if study.experiment.learning.own is None:
        assert differs > 1e-4
    else:  # what a device learns for itself is beside the shared model, which is FedAvg's to the bit
        assert differs == 0
        assert found.records("metrics") != expected.records("metrics")
    sizes = {key: [{r[key] for r in each.records("rounds")} for each in (found, expected)] for key in UP_AND_DOWN}
    models = 1 if copies is None else copies.number
    assert sizes["bytes_up"][0] == {models * size for size in sizes["bytes_up"][1]}
    times = models + study.experiment.learning.algorithm.sends
    assert sizes["bytes_down"][0] == {times * size for size in sizes["bytes_down"][1]}


UP_AND_DOWN = ("bytes_up", "bytes_down")


@pytest.mark.parametrize("name", ALGORITHMS.names())
@pytest.mark.parametrize("unit", ["example", "interaction"])
def test_a_unit_smaller_than_the_user_is_refused(algorithm_study, private_tables, name, unit):
    with pytest.raises(
        PrivacyError, match=f'learning.algorithm = "{name}": .* \\(unit "{unit}" cannot be claimed\\)$'
    ) as caught:
        algorithm_study(name, privacy={**private_tables, "unit": unit})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in ALGORITHMS.names() if "user" in ALGORITHMS.method_class(n).units])
@pytest.mark.parametrize("mechanism", ["central", "distributed", "local"])
def test_by_the_user_it_runs(algorithm_study, tmp_path, name, mechanism):
    sampler = {"sampler": "poisson"} if mechanism == "central" else {}
    sampler |= {"min_replies": 4} if mechanism == "distributed" else {}
    privacy = {"unit": "user", "mechanism": {"name": mechanism}, "noise_multiplier": 1.0, "delta": 1e-4}
    study = algorithm_study(name, privacy=privacy, federation={"rounds": 1, **sampler})
    assert all(np.isfinite(values).all() for values in arrays(run(study, tmp_path / "run"), study).values())


def test_fedrep_wants_a_head_and_a_body(algorithm_study):
    with pytest.raises(
        ConfigError, match=r"nothing is personal, so there is no head; name its layers in model\.personal_layers"
    ):
        algorithm_study("fedrep", model={})
    with pytest.raises(
        ConfigError, match=r"head_steps 3: of learning\.local_steps = 3 none is left for what is shared"
    ):
        algorithm_study({"name": "fedrep", "head_steps": 3}, model=MODELS["fedrep"])


def test_ditto_wants_nothing_personal_beside_its_own_model_and_a_pull_that_does_not_swing(algorithm_study):
    with pytest.raises(ConfigError, match=r"leave out model\.personal_layers and model\.user\.personal$"):
        algorithm_study("ditto", model=MODELS["fedrep"])
    with pytest.raises(ConfigError, match=r"pull 4: with learning\.personal_rate = 0\.5 .* below 2$"):
        algorithm_study({"name": "ditto", "pull": 4.0}, learning={"personal_rate": 0.5})


def test_ditto_wants_the_memory_of_whole_models(algorithm_study, monkeypatch):
    """What is enough for FedAvg's rows is refused before the first round."""
    studies = {name: algorithm_study(name) for name in (None, "scaffold", "ditto")}
    monkeypatch.setattr("simulation.run.training_memory", lambda *_: 10_000_000_000)
    monkeypatch.setattr(type(studies[None].layout), "size", lambda layout, group="shared": 200_000_000)
    check_memory(studies[None])
    for name in ("scaffold", "ditto"):
        with pytest.raises(InputError, match=r"training one client takes about 11,\d+ MB"):
            check_memory(studies[name])


def test_ditto_counts_what_all_count_and_keeps_the_rest(algorithm_study, tmp_path):
    """With a popularity prior: round 1 counts, and a device's own model is not moved by it; later its counts are those that the server sent."""
    prior = {"model": {"prior": {"rounds": 1}}}
    study, plain = algorithm_study("ditto", **prior), algorithm_study(None, **prior)
    found, expected = (arrays(run(one, tmp_path / str(n)), one) for n, one in enumerate((study, plain)))
    assert found["parameters"].tobytes() == expected["parameters"].tobytes()
    assert found["kept"].any(axis=1).sum() > 3


@pytest.mark.parametrize("name", KEEPING)
def test_on_ray_it_is_refused(small, name):
    experiment = small(learning={"algorithm": name})
    check_personal(experiment)
    on_ray = experiment.model_copy(update={"runtime": RuntimeConfig(name="ray")})
    with pytest.raises(ConfigError, match=f'learning.algorithm = "{name}": Ray workers share no file'):
        check_personal(on_ray)


def test_what_would_not_fit_the_disk_is_refused_before_the_first_round(algorithm_study, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(personal_files.shutil, "disk_usage", lambda path: usage(0, 0, 10_000))
    with pytest.raises(
        InputError, match=r"20 devices keep \d+ numbers each, .* and 0\.0 GB are free; use fewer users"
    ) as caught:
        run(algorithm_study("scaffold"), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert RunDirectory(tmp_path / "run").records("rounds") == []


def test_a_device_refuses_a_task_without_what_the_algorithm_sends(algorithm_study):
    """And one with a vector that nobody asked for."""
    for name, sent in (("scaffold", False), ("feddyn", True)):
        study = algorithm_study(name)
        start = study.layout.flat(study.new_model())
        task = Task(
            start, study.layout.schema, study.terms, 0, 1, study.timeline.window(0), sent=start if sent else None
        )
        bench = SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))._workbench(study.terms)
        with pytest.raises(SchemaError, match=r"does not go with its learning\.algorithm"):
            bench.check(Task.unpack(task.pack()))
