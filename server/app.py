"""The Flower ServerApp, for `flwr run`: reads the experiment that the run configuration names and federates it over the grid it is given."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from everbloom.errors import ConfigError
from everbloom.experiment import load_experiment
from everbloom.privacy.noise import CryptographicNoise
from everbloom.study import open_study
from server.federation import Federation, initial_state, opening_of
from server.measuring import check_measurements
from server.noise import secret_noise
from server.roster import call_roll
from server.run_directory import RunDirectory, refuse_existing
from server.summary import write_summary
from server.tracking import check_tracking, tracked

app = ServerApp()
_log = logging.getLogger("flwr")
_BUNDLE = Path(__file__).parent.parent
"""Flower unpacks the app here, with its configs/; a SuperLink may run in any directory."""


class LogObserver:
    """Lines in Flower's log."""

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """One line a round, one a failure."""
        _log.info("round %s", dict(record))
        for reason in reasons:
            _log.warning("a client failed: %s", reason)

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """The whole population's line."""
        _log.info("measured %s", dict(records[0]))


@app.main()
def main(grid: Grid, context: Context) -> None:
    """run-config: `experiment` (an absolute path, or one in the bundle), `run-dir` (empty: runs/NAME), `nodes` (devices to wait for),
    `node-timeout` (seconds).
    """
    config = context.run_config
    experiment = load_experiment(_BUNDLE / str(config["experiment"]))
    nodes, timeout = config["nodes"], config["node-timeout"]
    if not isinstance(nodes, int) or not isinstance(timeout, (int, float)):
        raise ConfigError(f"run-config: nodes and node-timeout must be numbers (given: {nodes!r}, {timeout!r})")
    path = Path(str(config["run-dir"]) or f"runs/{experiment.name}")
    refuse_existing(path)
    study = open_study(experiment, _progress("preparing data"), _progress("encoding items"))
    check_measurements(study)
    check_tracking(experiment)
    if opening_of(study.plan).unanswered and experiment.federation.checkpoint_every > 1:
        raise ConfigError(
            "federation.checkpoint_every: a round that is done again after a crash would release a second model uncharged; set it to 1"
        )
    roster = call_roll(grid, nodes, float(timeout), study.clients)
    run = RunDirectory.create(path, experiment)
    with tracked(experiment, run, LogObserver()) as (observer, finish):
        state = Federation(study, run, grid, roster, observer, initial_state(study), secret_noise).run()
        finish(
            write_summary(
                run, study, state, noise=f"{CryptographicNoise().kind} (the server's; devices draw their own)"
            )
        )


def _progress(what: str) -> Any:
    def report(done: int, total: int) -> None:
        if done == total:
            _log.info("%s: done (%s)", what, total)

    return report
