"""The model that a run has come to: the parameters it serves, read from its checkpoint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import CheckpointError
from everbloom.study import Study
from server.checkpoint import read_checkpoint
from server.learning_on import LearningOn
from server.measuring import Measuring
from server.observer import Silent
from server.run_directory import RunDirectory
from server.state import FederationState

Kept = Callable[[FederationState], NDArray[np.float32] | None]
"""[users, numbers] what devices kept at a checkpoint; None where it is not known, or serves nobody."""


def released(study: Study, run: RunDirectory, kept: Kept) -> tuple[FederationState, NDArray[np.float32]]:
    """(the checkpoint, shared parameters [params]): those of the period's best round, settled by the continual method if its rounds are done.

    What a run is tested with at its end is not in its checkpoint, from which a period's end can be done again; this does it, and changes nothing.
    Raises `CheckpointError` if there is no checkpoint, or as `read_checkpoint` does.
    """
    state = read_checkpoint(run, study.layout.schema, study.clients)
    if state is None:
        raise _no_checkpoint(run.path)
    learning_on = LearningOn(study)
    state.parameters = learning_on.served(state) if state.best is None else state.best.parameters
    if state.round and (state.stopped or state.round >= study.experiment.rounds(state.period)):
        measuring = Measuring(study, run, Silent())

        def value(parameters: NDArray[np.float32]) -> float:
            return measuring.consider(study.scorer(parameters, kept(state), models=False), state.period)

        learning_on.end(state, value)
    return state, state.parameters


def _no_checkpoint(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: no checkpoint here yet (checkpoint/state.json is missing), so no model; continue the run with: everbloom run --resume {path}"
    )
