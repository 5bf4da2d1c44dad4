"""A small experiment with a [population], and runs of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from everbloom.experiment import Experiment
from everbloom.study import Study
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.run import run_in_process

POPULATION = {
    "availability": {"name": "daily", "low": 0.2, "high": 0.9, "time_zones": 3},
    "speed": {"seconds_per_example": 0.5, "sigma": 0.6},
    "bandwidth": {"download": 1e5, "upload": 1e4, "sigma": 0.5},
    "overhead_seconds": 2.0,
    "dropout": 0.15,
    "start_seconds": 64800,
    "pause_seconds": 3000.0,
}
"""Rounds that cross hours, with some of everything that can go wrong."""


@pytest.fixture
def populated(small) -> Callable[..., Experiment]:
    """(population, **tables) -> the small experiment on that population, with over-selection and a deadline."""

    def build(population: dict[str, Any] | None = None, **tables: Any) -> Experiment:
        federation = {"rounds": 4, "over_selection": 0.5, "reply_timeout": 30.0, **tables.pop("federation", {})}
        return small(population=POPULATION if population is None else population, federation=federation, **tables)

    return build


class Runs:
    """Runs experiments in process, each in its own directory."""

    def __init__(self, folder: Path, opened: Callable[[Experiment], Study]) -> None:
        self.folder = folder
        self.opened = opened

    def __call__(self, experiment: Experiment, name: str = "run", observer: Any = None) -> RunDirectory:
        run = RunDirectory.create(self.folder / name, experiment)
        run_in_process(self.opened(experiment), run, observer or Silent(), resume=False)
        return run

    def resume(self, name: str) -> RunDirectory:
        """Continues an interrupted run."""
        run = RunDirectory.open(self.folder / name)
        run_in_process(self.opened(run.experiment), run, Silent(), resume=True)
        return run


@pytest.fixture
def run(tmp_path, study_of) -> Runs:
    """`run(experiment)` -> its run directory, finished."""
    return Runs(tmp_path, study_of)
