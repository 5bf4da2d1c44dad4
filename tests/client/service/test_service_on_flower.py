"""Services behind real SuperNodes: the federation's model is the one that the simulation of the same experiment comes to."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file
from served_devices import Service

from client.service.making import make_device
from client.service.service import BEHAVIOUR_NAMES
from everbloom.study import Study
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation import flower
from simulation.flower import run_on_superlink
from simulation.run import run_in_process

USERS = 2
ROUNDS = 2


@pytest.fixture
def study(small: Any, study_of: Any) -> Study:
    source = {"users": USERS, "items": 60, "events_per_user": 25, "new_user_rate": 0.0}
    return study_of(
        small(
            data={"source": source}, protocol={"name": "leave-one-out"}, privacy=True, federation={"rounds": ROUNDS, "cohort": USERS},
            evaluation={"devices": {"every": ROUNDS, "measures": ["hr@10"]}},
        )
    )  # fmt: skip


def served(study: Study, user: int, folder: Path) -> Service:
    """A device with this user's events and the experiment's noise, and its service."""
    log, catalog = study.dataset.events, study.dataset.catalog
    made = make_device(folder, catalog, user, epsilon=40.0, delta=1e-3, min_cohort=USERS, seed=study.experiment.seed)
    made.policy.write_text(made.policy.read_text().replace("# evaluation = true", "evaluation = true"))
    rows = log.rows(user)
    events = [
        {"item": catalog.item_ids[log.item[row]], "time": int(log.time[row]), "behaviour": BEHAVIOUR_NAMES[log.behaviour[row]]}
        for row in range(rows.start, rows.stop)
    ]  # fmt: skip
    service = Service(made).start()
    service.call("POST", "/events", body={"events": events})
    return service


@pytest.mark.flower
def test_a_superlink_and_services_give_the_in_process_result(study, tmp_path, monkeypatch):
    services: list[Service] = []

    def devices(federation: Any) -> list[str]:
        services.extend(served(federation.study, user, tmp_path / str(user)) for user in range(USERS))
        return [f"socket={json.dumps(str(service.folder.socket))}" for service in services]

    monkeypatch.setattr(flower._Federation, "_devices", devices)
    try:
        summary = run_on_superlink(study.experiment, tmp_path / "flower", Console(file=StringIO()))
        run_in_process(study, RunDirectory.create(tmp_path / "here", study.experiment), Silent(), resume=False)
        found, expected = (parameters(tmp_path / name) for name in ("flower", "here"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert np.abs(found - study.layout.flat(study.new_model())).max() > 1e-3, "it learnt"
        assert summary["failed"] == 0
        told, alike = (measured_on_devices(tmp_path / name) for name in ("flower", "here"))
        assert told == [pytest.approx(row, abs=1e-5) for row in alike]
        assert [(row["answered"], row["failed"]) for row in told] == [(USERS, 0)]
        for service in services:
            account = service.account()
            assert [one.round for one in account.reservations] == [1, 2, 2], "two rounds and a measurement"
            assert len(account.committed) == ROUNDS + 1
            assert len({one.message for one in account.reservations}) == ROUNDS + 1
            assert service.call("GET", "/recommendations")["items"]
    finally:
        for service in services:
            service.kill()


def measured_on_devices(run: Path) -> list[dict[str, Any]]:
    return [row for row in RunDirectory.open(run).records("metrics") if row["protocol"] == "on-devices"]


def parameters(run: Path) -> np.ndarray:
    (arrays,) = (run / "checkpoint").glob("*.safetensors")
    return load_file(arrays)["parameters"]
