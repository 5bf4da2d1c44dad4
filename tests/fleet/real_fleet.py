"""What tests of a real fleet share."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from client.service.calls import call
from everbloom.experiment import Experiment
from everbloom.study import Study
from everbloom.wire import Task
from server.observer import Silent
from simulation.fleet.fleet import Fleet, node_name
from simulation.fleet.running import follow_run, start_run

DEVICES = int(os.environ.get("EVERBLOOM_FLEET_DEVICES", "6"))
ROUNDS = 5


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


def parameters(run: Path) -> np.ndarray:
    """The global model at the end of a run."""
    (arrays,) = (run / "checkpoint").glob("*.safetensors")
    return load_file(arrays)["parameters"]


def records(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
