"""A device's model as a scorer: the workbench's one model, loaded with the parameters that are to be measured."""

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.learning.local import LocalTrainer


class Scoring:
    """Item vectors are kept for the next device of a simulation, which is asked with the same parameters."""

    def __init__(self, trainer: LocalTrainer) -> None:
        self._trainer = trainer
        self._parameters: NDArray[np.float32] | None = None
        self._scorer: ModelScorer | None = None

    def of(self, parameters: NDArray[np.float32], log: EventLog, personal: NDArray[np.float32]) -> ModelScorer:
        """For the one user of `log`; `personal` [personal] is what was learnt for it alone, empty if the model has none."""
        self._trainer.load(parameters, personal)
        if self._scorer is None or self._parameters is None or not np.array_equal(parameters, self._parameters):
            self._scorer = ModelScorer.standing(self._trainer.model, log)
            self._parameters = parameters
        return self._scorer.of(log, personal[None] if len(personal) else None)
