"""What tests of a real fleet share."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from client.service.calls import call
from everbloom.experiment import Experiment, load_experiment
from everbloom.study import Study, open_study
from everbloom.wire import Task
from server.observer import Silent
from simulation.fleet.fleet import Fleet, node_name
from simulation.fleet.people import experiment_of
from simulation.fleet.running import follow_run, start_run
from simulation.processes import processes

DEVICES = int(os.environ.get("EVERBLOOM_FLEET_DEVICES", "6"))
ROUNDS = 5
REPO = Path(__file__).parent.parent.parent


class RunningFleet:
    """A fleet, its study, and how to run experiments on it."""

    def __init__(self, fleet: Fleet, study: Study) -> None:
        self.fleet = fleet
        self.study = study

    @property
    def experiment(self) -> Experiment:
        return self.study.experiment

    def run(self, name: str, between=lambda: None, experiment: Experiment | None = None, **federation: Any) -> Path:
        """The directory of a finished run; `between` is called about once a second. `experiment`: another one than the fleet's."""
        experiment = experiment or self.experiment
        if federation:
            changed = experiment.federation.model_copy(update=federation)
            experiment = experiment.model_copy(update={"federation": changed})
        out = self.fleet.server.runs / name
        number = start_run(self.fleet.server, experiment, out, len(self.fleet.devices))
        follow_run(self.fleet.server, number, out, Silent(), between)
        return out

    def rounds_done(self, name: str) -> int:
        records = self.fleet.server.runs / name / "rounds.jsonl"
        return records.read_bytes().count(b"\n") if records.is_file() else 0

    def task(self, round: int) -> Task:
        """Of the first period, on the initial model."""
        study = self.study
        parameters = study.layout.flat(study.new_model())
        return Task(parameters, study.layout.schema, study.terms, 0, round, study.window(0))

    def spent(self, number: int) -> int:
        """Rounds in a device's ledger."""
        return int(call(self.fleet.devices[number], "GET", "/privacy")["rounds"])

    def connect(self, number: int, address: str | None = None) -> None:
        """Starts a SuperNode until it is let in, as a service manager does: for a minute the link takes one that died for alive."""
        log, end = self.fleet.started.log(node_name(number)), time.monotonic() + 150
        while time.monotonic() < end:
            before = log.stat().st_size
            self.fleet.start_node(number, address)
            again = time.monotonic() + 10
            while time.monotonic() < again:
                if b"SuperNode ID" in log.read_bytes()[before:]:
                    return
                time.sleep(0.2)
        raise AssertionError(f"{node_name(number)} was not let in; its log is {log}")

    def being_trained(self) -> bool:
        """Whether some device is at work on a task."""
        return any(call(device, "GET", "/status")["training"] for device in self.fleet.devices)


@contextmanager
def running_fleet(folder: Path, overrides: Sequence[str], devices: int) -> Iterator[RunningFleet]:
    """Of so many people of MovieLens-small, in an empty folder, while the context lasts."""
    logs = folder / "logs"
    logs.mkdir()
    before = os.environ.get("EVERBLOOM_HOME")
    os.environ["EVERBLOOM_HOME"] = str(folder / "home")
    try:
        common = [
            "evaluation.every=1",
            "model.items.features={name='tfidf', dims=16}",
            "runtime.workers=1",
            # So few people hit nothing among the first ten of thousands: a measure that moves chooses the model.
            "evaluation.k=[5, 10, 1000]",
            "evaluation.select=ndcg@1000",
        ]
        experiment = load_experiment(REPO / "configs" / "movielens-small.toml", [*common, *overrides])
        experiment = experiment_of(experiment, devices, folder / "data")
        study = open_study(experiment, lambda done, total: None, lambda done, total: None)
        with processes(logs) as started:
            running = Fleet(study, folder, started, seeded=True, spare=20.0)
            try:
                running.start()
                yield RunningFleet(running, study)
            finally:
                running.stop()
    finally:
        if before is None:
            del os.environ["EVERBLOOM_HOME"]
        else:
            os.environ["EVERBLOOM_HOME"] = before


def parameters(run: Path) -> np.ndarray:
    """The global model at the end of a run."""
    (arrays,) = (run / "checkpoint").glob("*.safetensors")
    return load_file(arrays)["parameters"]


def records(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
