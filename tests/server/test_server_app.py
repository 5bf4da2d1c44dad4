"""The ServerApp as `flwr run` calls it, over an in-process grid: its run configuration, resuming after a crash, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from client.answering import make_app
from everbloom.errors import CheckpointError, ConfigError, InputError, PrivacyError
from server.app import main
from server.deployment.certificates import make_task_key
from server.federation import initial_state
from simulation.devices import SimulatedDevices
from simulation.grid import InProcessGrid, call_client


class Served:
    """Runs the app on all users of an experiment, or the first few of them."""

    def __init__(self, folder: Path, study_of, experiment) -> None:
        self.folder = folder
        self.study = study_of(experiment)
        (folder / "experiment.toml").write_text(experiment.to_toml())
        self.messages: list[str] = []
        self.dies_after: int | None = None

    def __call__(self, devices: int | None = None, **config: Any) -> Path:
        state = initial_state(self.study)
        app = make_app(SimulatedDevices(self.study, state.participations).open)

        def answer(messages):
            for message in messages:
                if self.dies_after is not None and len(self.messages) >= self.dies_after:
                    raise KeyboardInterrupt
                self.messages.append(message.metadata.message_type)
                yield call_client(app, message)

        out = self.folder / "run"
        settings = {
            "experiment": str(self.folder / "experiment.toml"),
            "run-dir": str(out),
            "nodes": 1,
            "node-timeout": 1.0,
            **{key.replace("_", "-"): value for key, value in config.items()},
        }
        grid = InProcessGrid(devices or self.study.clients, answer)
        main(grid, Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings))
        return out


@pytest.fixture
def served(tmp_path, study_of):
    return lambda experiment: Served(tmp_path, study_of, experiment)


def records(run: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]


def test_a_run_leaves_records_a_log_and_metrics(served, small, tmp_path):
    out = served(small())(metrics_file=str(tmp_path / "m" / "everbloom.prom"))
    assert json.loads((out / "summary.json").read_text())["rounds"] == 4
    assert [told["event"] for told in records(out, "log") if told["event"] in ("started", "round", "finished")] == [
        "started", *["round"] * 4, "finished",
    ]  # fmt: skip
    assert 'everbloom_rounds_total{experiment="small"} 4' in (tmp_path / "m" / "everbloom.prom").read_text()


def test_a_run_that_died_is_resumed_and_what_was_asked_stays_counted(served, small):
    """Six devices a round: the third round had asked all of them when the server died."""
    app = served(small(privacy=True))
    app.dies_after = 15
    with pytest.raises(KeyboardInterrupt):
        app()
    app.dies_after = None
    out = app(resume=True)
    assert [(one["period"], one["round"]) for one in records(out, "rounds")] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    asked = records(out, "asked")
    assert [(one["period"], one["round"]) for one in asked] == [(0, 1), (0, 2), (1, 1), (1, 1), (1, 2)]
    most = max(sum(client in one["clients"] for one in asked) for client in range(app.study.clients))
    spent = json.loads((out / "summary.json").read_text())["privacy"]["epsilon"]
    assert spent == pytest.approx(app.study.plan.spent(most), abs=1e-5)


def test_tasks_are_signed_if_there_is_a_key(served, small, tmp_path, monkeypatch):
    from everbloom.signing import signer

    make_task_key(tmp_path / "tasks.key")
    seen: list[str | None] = []
    real = call_client
    monkeypatch.setattr(
        "test_server_app.call_client", lambda app, message: seen.append(signer(message.content)) or real(app, message)
    )
    served(small())(task_key=str(tmp_path / "tasks.key"))
    assert len(set(seen)) == 1
    assert seen[0] is not None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"nodes": "two"}, "nodes and node-timeout must be numbers"),
        ({"resume": True, "run_dir": ""}, "needs the run-dir that it continues"),
        ({"task_key": "/nowhere/tasks.key"}, "no key that signs tasks"),
    ],
)
def test_a_mistake_in_the_run_configuration_is_one_line(served, small, config, told):
    with pytest.raises(ConfigError, match=told):
        served(small())(**config)


def test_a_run_is_not_written_over_and_none_is_not_resumed(served, small):
    app = served(small())
    with pytest.raises(CheckpointError, match="no run to resume"):
        app(resume=True)
    app()
    with pytest.raises(InputError, match="exists and is not empty"):
        app()


def test_a_plan_that_counts_on_the_whole_population_is_refused_with_fewer(served, small):
    """Poisson cohorts out of 6 are no cohorts out of 20, whatever the accountant was told."""
    privacy = {"unit": "user", "noise_multiplier": 1.0, "delta": 1e-3}
    app = served(small(privacy=privacy, federation={"sampler": "poisson"}))
    with pytest.raises(PrivacyError, match="6 devices of a population of 20"):
        app(devices=6)
    assert not (app.folder / "run").exists()
    app()
