"""A real fleet, started once for all tests of a folder: SuperLink with TLS and node authentication, nginx, device services, SuperNodes."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_fleet import DEVICES, ROUNDS, RunningFleet

from everbloom.experiment import load_experiment
from everbloom.study import open_study
from server.deployment.making import nginx_program
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.fleet.fleet import Fleet
from simulation.fleet.people import experiment_of
from simulation.processes import processes
from simulation.run import run_in_process

REPO = Path(__file__).parent.parent.parent
KEPT = os.environ.get("EVERBLOOM_FLEET_FOLDER")
"""Where a fleet's logs and runs are kept for a look afterwards; a temporary folder without it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Not part of the usual suite: minutes, and some gigabytes of memory."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.fleet)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """Devices whose noise follows from the seed, so that a run can be compared with its simulation: for this alone."""
    if nginx_program() is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("fleet")
    if KEPT is not None:
        folder = Path(KEPT)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    logs = folder / "logs"
    logs.mkdir()
    before = os.environ.get("EVERBLOOM_HOME")
    os.environ["EVERBLOOM_HOME"] = str(folder / "home")
    try:
        overrides = [
            f"federation.rounds={ROUNDS}",
            "evaluation.every=1",
            "model.items.features={name='tfidf', dims=16}",
            "runtime.workers=1",
            # So few people hit nothing among the first ten of thousands: a measure that moves chooses the model.
            "evaluation.k=[5, 10, 1000]",
            "evaluation.select=ndcg@1000",
        ]
        experiment = load_experiment(REPO / "configs" / "movielens-small.toml", overrides)
        experiment = experiment_of(experiment, DEVICES, folder / "data")
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


@pytest.fixture(scope="session")
def simulated(fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same experiment with the same seed, in process."""
    out = tmp_path_factory.mktemp("simulated") / "run"
    run_in_process(fleet.study, RunDirectory.create(out, fleet.experiment), Silent(), resume=False)
    return out
