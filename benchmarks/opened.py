"""A workload as a contender opens it: the experiment made concrete, without what only its preparation needs (language model, raw files)."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.data.prepare import Dataset
from everbloom.data.timeline import Timeline, TrainingWindow
from everbloom.experiment import load_experiment
from everbloom.seeding import PublicDraws, numpy_generator
from everbloom.study import Study

PERIOD = 0


@dataclass(frozen=True, eq=False)
class Workload:
    """A prepared experiment. `initial` [params]: every round starts from these parameters, so that contenders can be compared round by round."""

    study: Study
    folder: Path
    initial: NDArray[np.float32]

    @property
    def window(self) -> TrainingWindow:
        """What devices learn from."""
        return self.study.timeline.window(PERIOD)

    def cohort(self, number: int) -> NDArray[np.int64]:
        """Client numbers of a round, ascending: a uniform choice without replacement."""
        experiment = self.study.experiment
        size = experiment.federation.cohort_size(self.study.clients)
        rng = numpy_generator(experiment.seed, "benchmark-cohort", round=number)
        return np.sort(rng.choice(self.study.clients, size=size, replace=False))

    def draws(self, clients: NDArray[np.int64], number: int) -> PublicDraws:
        """Public randomness of these clients in a round."""
        return PublicDraws(self.study.experiment.seed, clients, PERIOD, number)

    def facts(self) -> dict[str, int]:
        """For the record."""
        return {
            "users": self.study.clients,
            "items": len(self.study.dataset.catalog),
            "parameters": self.study.layout.size(),
        }


def open_workload(folder: Path) -> Workload:
    """What `workloads.prepare_workload` left in `folder`."""
    experiment = load_experiment(folder / "experiment.toml")
    dataset = Dataset.open(folder / "data")
    features_path = folder / "features.npy"
    features = np.load(features_path, allow_pickle=False) if features_path.is_file() else None
    timeline = Timeline(dataset.events, dataset.catalog, experiment.data, experiment.protocol)
    study = Study(experiment, dataset, timeline, features)
    return Workload(study, folder, study.layout.flat(study.new_model()))


def from_arguments() -> Workload:
    """The workload whose folder is the program's first argument."""
    return open_workload(Path(sys.argv[1]))


def length(vector: NDArray[np.float32]) -> float:
    """L2 norm."""
    return float(np.linalg.norm(vector.astype(np.float64)))
