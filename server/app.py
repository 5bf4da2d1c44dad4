"""The Flower ServerApp, for `flwr run`: reads the experiment that the run configuration names and federates it over the grid it is given."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from everbloom.errors import ConfigError, PrivacyError
from everbloom.experiment import Experiment, load_experiment
from everbloom.privacy.noise import CryptographicNoise
from everbloom.study import Study, open_study
from server.asked import AskedRecord
from server.checkpoint import load_checkpoint
from server.deployment.certificates import read_task_key
from server.distribution import distribute_catalogue, offer_model
from server.federation import Federation, initial_state, opening_of
from server.hooks import Hooks
from server.measuring import check_measurements, unknown_choice
from server.monitoring import Monitor
from server.newcomers import Newcomers
from server.noise import secret_noise
from server.roster import KnowsClients, call_roll
from server.run_directory import RunDirectory, refuse_existing
from server.signed_grid import SignedGrid
from server.state import FederationState
from server.summary import write_summary
from server.tracking import check_tracking, tracked
from server.warm_start import EarlierRun, describe, earlier_of

app = ServerApp()
_log = logging.getLogger("flwr")
_BUNDLE = Path(__file__).parent.parent
"""Flower unpacks the app here, with its configs/; a SuperLink may run in any directory."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """run-config: `experiment` (an absolute path, or one in the bundle), `run-dir` (empty: runs/NAME), `resume` (continue the run in `run-dir` from
    its last checkpoint), `start-from` (directory of a run whose model a new run begins with; empty: none), `nodes` (devices to wait for),
    `node-timeout` (seconds), `distribute` (bring devices the catalogue before the run, and the model after it), `task-key` (signs what devices
    are asked; empty: nothing does), `metrics-file` (Prometheus text; empty: none).
    """
    settings = _settings(context.run_config)
    path, experiment = _asked_for(settings)
    if settings.task_key:
        grid = SignedGrid(grid, read_task_key(Path(settings.task_key)))
    study = open_study(experiment, _progress("preparing data"), _progress("encoding items"))
    check_measurements(study)
    if study.copies is not None and study.central:
        raise ConfigError(unknown_choice(experiment.learning.algorithm.name))  # type: ignore[union-attr]
    check_tracking(experiment)
    _check_checkpoints(study)
    roster = call_roll(grid, settings.nodes, settings.node_timeout, study.clients)
    _check_population(study, len(roster))
    run, state, continues = _opened(study, path, settings)
    metrics = Path(settings.metrics_file) if settings.metrics_file else None
    monitor = Monitor(experiment.name, metrics, run.path / "log.jsonl", devices=len(roster))
    monitor.tell("started", devices=len(roster), resumed_after=state.totals.rounds, run_directory=str(path))
    if settings.distribute:
        catalog, timeout = study.dataset.catalog, experiment.federation.reply_timeout
        monitor.delivered("catalogue", distribute_catalogue(grid, roster, catalog, timeout))
        if continues is not None:  # a model of the catalogue that devices had does not fit the one that they have now
            offered = offer_model(study, grid, roster, state.parameters, state.period, state.round, continues)
            monitor.delivered("model", offered)
    with tracked(experiment, run, monitor) as (observer, finish):
        federation = Federation(
            study, run, grid, roster, observer, state, secret_noise, hooks=_hooks(study, run, grid, monitor, settings)
        )
        federation.strategy.catalogue = study.dataset.catalog.digest()
        federation.strategy.continues = continues
        state = federation.run()
        if settings.distribute:
            told = offer_model(study, grid, federation.roster, state.parameters, state.period, state.round, continues)
            monitor.delivered("model", told)
        finish(
            write_summary(
                run, study, state, noise=f"{CryptographicNoise().kind} (the server's; devices draw their own)"
            )
        )
    monitor.tell("finished", rounds=state.totals.rounds)


def _hooks(study: Study, run: RunDirectory, grid: Grid, monitor: Monitor, settings: "_Settings") -> Hooks:
    """What is done beside training: a record of who was asked, and devices that come later."""
    newcomers = Newcomers(grid, study.clients, monitor.tell)

    def roster(known: Mapping[int, int]) -> Mapping[int, int]:
        found = newcomers(known)
        monitor.devices = len(found)
        new = {client: node for client, node in found.items() if known.get(client) != node}
        if new and settings.distribute:
            timeout = study.experiment.federation.reply_timeout
            monitor.delivered("catalogue", distribute_catalogue(grid, new, study.dataset.catalog, timeout))
        return found

    return (
        Hooks(asking=AskedRecord(run).note) if isinstance(grid, KnowsClients) else Hooks(AskedRecord(run).note, roster)
    )


def _asked_for(settings: "_Settings") -> tuple[Path, Experiment]:
    """The run directory and the experiment. Raises `InputError` if there is a run that would be written over, or none to resume."""
    if settings.resume:
        path = Path(settings.run_dir)
        return path, RunDirectory.open(path).experiment
    experiment = load_experiment(_BUNDLE / settings.experiment)
    path = Path(settings.run_dir or f"runs/{experiment.name}")
    refuse_existing(path)
    return path, experiment


def _check_checkpoints(study: Study) -> None:
    if opening_of(study.plan).unanswered and study.experiment.federation.checkpoint_every > 1:
        raise ConfigError(
            "federation.checkpoint_every: a round that is done again after a crash would release a second model uncharged; set it to 1"
        )


class _Settings(NamedTuple):
    """The run configuration, checked."""

    experiment: str
    run_dir: str
    resume: bool
    start_from: str
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
        str(config.get("start-from", "")),
        nodes,
        float(timeout),
        bool(config.get("distribute", False)),
        str(config.get("task-key", "")),
        str(config.get("metrics-file", "")),
    )


def _opened(study: Study, path: Path, settings: "_Settings") -> tuple[RunDirectory, FederationState, str | None]:
    """A new run, or one that goes on, and the federation of the run that it began from. What devices were asked in rounds that are done again stays
    counted: their ledgers were charged.
    """
    earlier = EarlierRun.open(Path(settings.start_from)) if settings.start_from else None
    if settings.resume:
        run = RunDirectory.open(path)
        earlier = earlier_of(run)
    begun = initial_state(study, None if earlier is None else earlier.parameters_for(study))
    continues = None if earlier is None else earlier.federation
    if not settings.resume:
        run = RunDirectory.create(path, study.experiment)
        describe(run, study, earlier)
        return run, begun, continues
    state = load_checkpoint(run, study.layout.schema, study.clients) or begun
    state.participations += AskedRecord(run).count(state)
    return run, state, continues


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
