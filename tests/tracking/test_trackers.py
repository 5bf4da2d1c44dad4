"""Every registered tracker is given the numbers of the records, at the rounds done, and goes on where an interrupted run does.

TensorBoard's files are read back. MLflow and Weights & Biases, which are large, are stood in for by modules with the calls that the adapters make.
"""

import json
import sys
import types

import pytest

from everbloom.errors import ConfigError, InputError
from everbloom.methods import TRACKERS
from everbloom.tracking.tracking import kept_id
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.run import run_in_process

Logged = dict[str, dict[int, list[float]]]


class Stop(Exception):
    """Ends a run in the middle."""


class StopAfter(Silent):
    """After so many rounds."""

    def __init__(self, rounds: int) -> None:
        self.left = rounds

    def round_done(self, record, reasons):
        self.left -= 1
        if self.left == 0:
            raise Stop


@pytest.fixture
def store(monkeypatch):
    """What the stand-ins of mlflow and wandb were given: `logged`, `ended` (how each run ended), `begun` (ids)."""
    kept = types.SimpleNamespace(logged={}, ended=[], begun=[], told={})

    def log(name: str, step: int, value: float) -> None:
        kept.logged.setdefault(name.replace("_at_", "@"), {}).setdefault(step, []).append(value)

    class Client:
        def __init__(self, tracking_uri):
            assert tracking_uri.startswith("sqlite:///")

        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name, artifact_location):
            assert artifact_location.startswith("file:///")
            return "7"

        def create_run(self, experiment, run_name):
            assert (experiment, run_name) == ("7", "run")
            kept.begun.append("abc")
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="abc"))

        def log_batch(self, run, metrics=(), params=()):
            assert run == "abc"
            kept.told |= {param.key: param.value for param in params}
            for metric in metrics:
                assert "@" not in metric.key
                log(metric.key, metric.step, metric.value)

        def set_tag(self, run, name, value):
            kept.told[name] = value

        def set_terminated(self, run, status):
            kept.ended.append(status == "FINISHED")

    class Run:
        def __init__(self):
            self.summary = kept.told

        def log(self, values, step):
            for name, value in values.items():
                log(name, step, value)

        def finish(self, exit_code):
            kept.ended.append(exit_code == 0)

    def init(*, project, name, id, resume, mode, dir, config, settings):
        assert (project, name, mode, resume) == ("small", "run", "offline", None)
        kept.begun.append(id)
        kept.told |= {"seed": str(config["seed"])}
        return Run()

    entities = types.ModuleType("mlflow.entities")
    entities.Metric = lambda key, value, timestamp, step: types.SimpleNamespace(key=key, value=value, step=step)
    entities.Param = lambda key, value: types.SimpleNamespace(key=key, value=value)
    mlflow, wandb = types.ModuleType("mlflow"), types.ModuleType("wandb")
    mlflow.MlflowClient, mlflow.entities = Client, entities
    wandb.init, wandb.Settings = init, dict
    for module in (mlflow, wandb, entities):
        module.__spec__ = types.SimpleNamespace(name=module.__name__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return kept


def event_files(run: RunDirectory, store) -> Logged:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run.path / "tensorboard")).Reload()
    logged: Logged = {}
    for name in found.Tags()["scalars"]:
        for event in found.Scalars(name):
            logged.setdefault(name, {}).setdefault(event.step, []).append(event.value)
    return logged


READ = {"tensorboard": event_files, "mlflow": lambda run, store: store.logged, "wandb": lambda run, store: store.logged}
"""name -> what was logged, as name -> step -> values; every registered tracker has one."""


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_run_is_logged_as_its_records_say_and_goes_on_after_an_interruption(name, small, study_of, store, tmp_path):
    experiment = small(tracking={"trackers": [name]})
    study = study_of(experiment)
    run = RunDirectory.create(tmp_path / "run", experiment)
    with pytest.raises(Stop):
        run_in_process(study, run, StopAfter(3), resume=False)
    run_in_process(study, run, Silent(), resume=True)
    logged = READ[name](run, store)
    assert sorted(logged["round/seconds"]) == [1, 2, 3, 4]
    places = {(row["period"], row["round"]): step for step, row in enumerate(run.records("rounds"), 1)}
    curve = logged["validation/full/all/federated/ndcg@10"]
    for row in run.records("metrics"):
        if row["split"] == "validation" and row["model"] == "federated" and row["round"]:
            assert curve[places[row["period"], row["round"]]][0] == pytest.approx(row["ndcg@10"], abs=1e-6)
    test = next(row for row in run.records("metrics") if row["split"] == "test" and row["model"] == "popularity")
    assert set(logged["test/full/all/popularity/hr@10"]) == {2}
    for value in logged["test/full/all/popularity/hr@10"][2]:  # what is done again is logged again
        assert value == pytest.approx(test["hr@10"], abs=1e-6)
    assert not [key for key in logged if "period" in key or key.endswith(("/users", "/round"))]
    if name != "tensorboard":
        assert store.ended == [False, True]
        assert len(set(store.begun)) == 1
        assert store.told["seed"] == "3"
        assert store.told["privacy"] == json.loads((run.path / "summary.json").read_text())["privacy"]["statement"]


def test_tracking_changes_no_result(small, study_of, store, tmp_path):
    files = []
    for name, trackers in (("plain", []), ("run", ["mlflow", "wandb"])):
        run = RunDirectory.create(tmp_path / name, small(tracking={"trackers": trackers}))
        run_in_process(study_of(run.experiment), run, Silent(), resume=False)
        files.append((run.path / "metrics.jsonl").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_package_that_is_missing_is_one_line_before_any_work(name, monkeypatch):
    tracker = TRACKERS.parse(name)
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=rf"is not installed; pip install 'everbloom\[{name}\]'"):
        tracker.check()


def test_a_tracker_that_does_not_open_closes_those_that_did(small, study_of, store, monkeypatch, tmp_path):
    experiment = small(tracking={"trackers": ["mlflow", "wandb"]})
    monkeypatch.setattr(sys.modules["wandb"], "init", lambda **options: 1 / 0)
    run = RunDirectory.create(tmp_path / "run", experiment)
    with pytest.raises(ZeroDivisionError):
        run_in_process(study_of(experiment), run, Silent(), resume=False)
    assert store.ended == [False]


def test_an_id_is_kept_and_an_empty_one_refused(tmp_path):
    assert kept_id(tmp_path / "id", "a") == "a"
    assert kept_id(tmp_path / "id", "b") == "a"
    (tmp_path / "id").write_text("")
    with pytest.raises(InputError, match="empty"):
        kept_id(tmp_path / "id", "c")
