"""A real fleet, started once for all tests of a folder: SuperLink with TLS and node authentication, nginx, device services, SuperNodes."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_fleet import DEVICES, ROUNDS, RunningFleet, running_fleet

from server.deployment.making import nginx_program
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.run import run_in_process

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
    with running_fleet(folder, [f"federation.rounds={ROUNDS}"], DEVICES) as running:
        yield running


@pytest.fixture(scope="session")
def simulated(fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same experiment with the same seed, in process."""
    out = tmp_path_factory.mktemp("simulated") / "run"
    run_in_process(fleet.study, RunDirectory.create(out, fleet.experiment), Silent(), resume=False)
    return out
