"""A run as a model to be used: its study, what it has learnt, and what its simulated devices have learnt for themselves."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from everbloom.errors import DataError
from everbloom.evaluation.own_models import SHARED
from everbloom.models.recommender import Recommender
from everbloom.study import Study
from server.released import released
from server.run_directory import RunDirectory
from server.state import FederationState
from simulation.commands import study_with_progress
from simulation.personal import saved_kept, served_kept


@dataclass(frozen=True, eq=False)
class Trained:
    """`model` holds the released shared `parameters` [params]; `state` is the checkpoint they come from. `vector` [params of all]: of several models
    that were learnt side by side, all, and `parameters` are those of the first."""

    run: RunDirectory
    study: Study
    state: FederationState
    model: Recommender
    parameters: NDArray[np.float32]
    vector: NDArray[np.float32]

    @property
    def now(self) -> int:
        """When a recommendation is asked for: once all that the data set knows has happened."""
        return int(self.study.dataset.events.time.max()) + 1

    def user(self, name: str) -> int:
        """The index of a user of the data set by its own id. Raises `DataError` if there is none."""
        for index, known in enumerate(self.study.dataset.events.user_ids):
            if known == name:
                return index
        log = self.study.dataset.events
        raise DataError(
            f"--user: no user {name!r} in the data set of {self.run.path}; it has {log.users}, for example {log.user_ids[0]!r}"
        )

    def of_user(self, user: int) -> "Trained":
        """With the model that the user's simulated device recommends by: its own, if it has trained one. Raises as `personal` does."""
        study = self.study
        served = study.served(self.vector, served_kept(self.run.path / "devices", study, self.state))
        number = SHARED if served is None else int(served.of(np.array([user], dtype=np.int32))[0])
        if served is None or number == SHARED:
            return self
        parameters = served.parameters(number, self.parameters)
        return replace(self, model=_loaded(study, parameters), parameters=parameters)

    def personal(self, user: int) -> NDArray[np.float32] | None:
        """[personal] what the user's simulated device has learnt for itself; None if the model has nothing of the kind.

        Raises `CheckpointError` if the run did not simulate its devices: real ones keep it to themselves.
        """
        if self.study.layout.size("personal") == 0:
            return None
        kept = saved_kept(self.run.path / "devices", self.study, self.state)[user]
        own: NDArray[np.float32] = kept[: self.study.layout.size("personal")].copy()
        return own


def open_trained(path: Path, console: Console, purpose: str) -> Trained:
    """The run in a directory, opened for a purpose ("to recommend from"). Raises `CheckpointError` if there is no run or no checkpoint."""
    run = RunDirectory.open(path, purpose)
    study = study_with_progress(run.experiment, console)
    state, vector = released(study, run, partial(served_kept, path / "devices", study))
    parameters = study.first_model(vector)
    return Trained(run, study, state, _loaded(study, parameters), parameters, vector)


def _loaded(study: Study, parameters: NDArray[np.float32]) -> Recommender:
    model = study.new_model().eval()
    study.model_layout.bind(model).copy_(torch.from_numpy(parameters))
    return model
