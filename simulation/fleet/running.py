"""Runs an experiment on a deployment, from the machine that its SuperLink runs on, and shows its records as they come."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everbloom.errors import ConfigError, InputError
from everbloom.experiment import Experiment
from server.deployment.control import Run, control
from server.deployment.folder import DeploymentFolder
from server.observer import Observer
from server.run_directory import RunDirectory, refuse_existing
from simulation.flower import app_directory, copy_app
from simulation.tail import Tail

_GONE_SECONDS = 120.0
"""How long a SuperLink may be away: it may be starting again."""
_POLL_SECONDS = 1.0


def start_run(
    folder: DeploymentFolder,
    experiment: Experiment,
    run_directory: Path,
    devices: int,
    node_timeout: float = 300.0,
    resume: bool = False,
    start_from: Path | None = None,
) -> int:
    """Starts the experiment, or goes on with the one in `run_directory` from its last checkpoint; returns the run's id. `devices`: how many are
    waited for, at most `node_timeout` seconds. `start_from`: the directory of a run whose model a new one begins with.

    Raises `InputError` if `run_directory` is taken or holds no run to resume, or if the SuperLink refuses.
    """
    if resume:
        experiment = RunDirectory.open(run_directory).experiment
    else:
        refuse_existing(run_directory)
    written = folder.operator_home / f"{run_directory.name}.toml"
    written.write_text(experiment.to_toml(), encoding="utf-8")
    config: dict[str, str | int | float | bool] = {
        "experiment": str(written),
        "run-dir": str(run_directory.absolute()),
        "resume": resume,
        "start-from": "" if start_from is None else str(start_from.absolute()),
        "distribute": True,
        "nodes": devices,
        "node-timeout": float(node_timeout),
        "task-key": str(folder.task_key),
        "metrics-file": str(folder.metrics),
    }
    with tempfile.TemporaryDirectory(prefix="everbloom-app-") as scratch, control(folder) as link:
        return link.start(copy_app(app_directory(), Path(scratch)), config)


def follow_run(
    folder: DeploymentFolder,
    number: int,
    run_directory: Path,
    observer: Observer,
    between: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Tells the observer of each record until the run is over; returns its summary. `between` is called about once a second.

    Raises `InputError` with the run's own reason if it fails, `ConfigError` if the SuperLink stays away.
    """
    tails = {name: Tail(run_directory / f"{name}.jsonl") for name in ("rounds", "metrics")}
    seen = time.monotonic()
    while True:
        run: Run | None = None
        try:
            with control(folder) as link:
                run = link.run(number)
            seen = time.monotonic()
        except ConfigError:
            if time.monotonic() - seen > _GONE_SECONDS:
                raise
        for record in tails["rounds"].new():
            observer.round_done(record, [f"see {run_directory}"] * record["failed"])
        for record in tails["metrics"].new():
            observer.measured([record])
        if run is not None and run.status == "finished":
            break
        between()
        time.sleep(_POLL_SECONDS)
    summary = run_directory / "summary.json"
    if run.outcome != "completed" or not summary.is_file():
        raise InputError(
            f"the run {run.outcome or 'ended'} ({run.details or 'no reason given'}); the SuperExec's log says why, and "
            f"`everbloom deploy run --resume {run_directory}` goes on from its last checkpoint"
        )
    found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return found
