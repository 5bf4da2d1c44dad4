"""The Flower ServerApp, for `flwr run`: reads the experiment that the run configuration names and federates it over the grid it is given."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from everbloom.errors import ConfigError, PrivacyError
from everbloom.experiment import load_experiment
from everbloom.privacy.noise import CryptographicNoise
from everbloom.study import Study, open_study
from server.asked import AskedRecord
from server.checkpoint import load_checkpoint
from server.deployment.certificates import read_task_key
from server.distribution import distribute_catalogue, offer_model
from server.federation import Federation, initial_state, opening_of
from server.hooks import Hooks
from server.measuring import check_measurements
from server.monitoring import Monitor
from server.noise import secret_noise
from server.roster import call_roll
from server.run_directory import RunDirectory, refuse_existing
from server.signed_grid import SignedGrid
from server.state import FederationState
from server.summary import write_summary

app = ServerApp()
_log = logging.getLogger("flwr")
_BUNDLE = Path(__file__).parent.parent
"""Flower unpacks the app here, with its configs/; a SuperLink may run in any directory."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """run-config: `experiment` (an absolute path, or one in the bundle), `run-dir` (empty: runs/NAME), `resume` (continue the run in `run-dir` from
    its last checkpoint), `nodes` (devices to wait for), `node-timeout` (seconds), `distribute` (bring devices the catalogue before the run, and the
    model after each period), `task-key` (signs what devices are asked; empty: nothing does), `metrics-file` (Prometheus text; empty: none).
    """
    settings = _settings(context.run_config)
    path = Path(settings.run_dir)
    experiment = (
        RunDirectory.open(path).experiment if settings.resume else load_experiment(_BUNDLE / settings.experiment)
    )
    if not settings.resume:
        path = path if settings.run_dir else Path(f"runs/{experiment.name}")
        refuse_existing(path)
    if settings.task_key:
        grid = SignedGrid(grid, read_task_key(Path(settings.task_key)))
    study = open_study(experiment, _progress("preparing data"), _progress("encoding items"))
    check_measurements(study)
    if opening_of(study.plan).unanswered and experiment.federation.checkpoint_every > 1:
        raise ConfigError(
            "federation.checkpoint_every: a round that is done again after a crash would release a second model uncharged; set it to 1"
        )
    monitor = Monitor(experiment.name, Path(settings.metrics_file) if settings.metrics_file else None)
    roster = call_roll(grid, settings.nodes, settings.node_timeout, study.clients)
    _check_population(study, len(roster))
    monitor.devices = len(roster)
    run, state = _opened(study, path, settings.resume)
    monitor.log = run.path / "log.jsonl"
    monitor.tell("started", devices=len(roster), resumed_after=state.totals.rounds, run_directory=str(path))
    if settings.distribute:
        catalog, timeout = study.dataset.catalog, experiment.federation.reply_timeout
        monitor.delivered("catalogue", distribute_catalogue(grid, roster, catalog, timeout))

    def offer(state: FederationState) -> None:
        if settings.distribute:
            monitor.delivered("model", offer_model(study, grid, roster, state.parameters, state.period, state.round))

    hooks = Hooks(asking=AskedRecord(run).note, period_done=offer)
    federation = Federation(study, run, grid, roster, monitor, state, secret_noise, hooks=hooks)
    federation.strategy.catalogue = study.dataset.catalog.digest()
    state = federation.run()
    write_summary(run, study, state, noise=f"{CryptographicNoise().kind} (the server's; devices draw their own)")
    monitor.tell("finished", rounds=state.totals.rounds)


class _Settings(NamedTuple):
    """The run configuration, checked."""

    experiment: str
    run_dir: str
    resume: bool
    nodes: int
    node_timeout: float
    distribute: bool
    task_key: str
    metrics_file: str


def _settings(config: Mapping[str, object]) -> _Settings:
    nodes, timeout = config["nodes"], config["node-timeout"]
    if not isinstance(nodes, int) or not isinstance(timeout, (int, float)):
        raise ConfigError(f"run-config: nodes and node-timeout must be numbers (given: {nodes!r}, {timeout!r})")
    resume = config.get("resume", False)
    if not isinstance(resume, bool) or (resume and not config["run-dir"]):
        raise ConfigError(
            f"run-config: resume is true or false, and needs the run-dir that it continues (given: {resume!r})"
        )
    return _Settings(
        str(config["experiment"]),
        str(config["run-dir"]),
        resume,
        nodes,
        float(timeout),
        bool(config.get("distribute", False)),
        str(config.get("task-key", "")),
        str(config.get("metrics-file", "")),
    )


def _opened(study: Study, path: Path, resume: bool) -> tuple[RunDirectory, FederationState]:
    """A new run, or one that goes on. What devices were asked in rounds that are done again stays counted: their ledgers were charged."""
    if not resume:
        return RunDirectory.create(path, study.experiment), initial_state(study)
    run = RunDirectory.open(path)
    state = load_checkpoint(run, study.layout.schema, study.clients) or initial_state(study)
    state.participations += AskedRecord(run).count(state)
    return run, state


def _check_population(study: Study, devices: int) -> None:
    """Raises `PrivacyError` if the plan counts on more people to hide among than there are."""
    plan = study.plan
    if plan is not None and plan.charged == "round" and devices < study.trainers:
        raise PrivacyError(
            f"{devices} devices of a population of {study.trainers}: privacy.mechanism {study.experiment.privacy.mechanism.name!r} "  # type: ignore[union-attr]
            "claims what holds only if cohorts are drawn from all of them; wait for all (run-config nodes), or let devices add the noise"
        )


def _progress(what: str) -> Any:
    def report(done: int, total: int) -> None:
        if done == total:
            _log.info("%s: done (%s)", what, total)

    return report
