"""A device's model as a scorer: the workbench's one model, loaded with the parameters that are to be measured."""

import numpy as np
from numpy.typing import NDArray

from everbloom.data.events import EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.learning.clustered import served_copy
from everbloom.learning.local import LocalTrainer
from everbloom.models.copies import Copies
from everbloom.models.own_model import model_of


class Scoring:
    """Item vectors are kept for the next device of a simulation, which is asked with the same parameters."""

    def __init__(self, trainer: LocalTrainer, copies: Copies | None) -> None:
        """`copies`: the models that are learnt side by side, if there are several."""
        self._copies = copies
        self._trainer = trainer
        self._parameters: NDArray[np.float32] | None = None
        self._scorer: ModelScorer | None = None

    def of(self, parameters: NDArray[np.float32], log: EventLog, kept: NDArray[np.float32]) -> ModelScorer:
        """For the one user of `log`; `kept` [numbers] is what its device keeps: what was learnt for it alone, or a whole model of its own, and
        nothing at all where neither is."""
        if self._copies is not None:
            parameters, kept = self._copies.taken(parameters, served_copy(kept)), kept[:0]
        if self._trainer.learning.own is not None:
            parameters = model_of(kept[len(self._trainer.personal) :], parameters, self._trainer.layout)
        self._trainer.load(parameters, kept)
        if self._scorer is None or self._parameters is None or not np.array_equal(parameters, self._parameters):
            self._scorer = ModelScorer.standing(self._trainer.model, log)
            self._parameters = parameters
        own = kept[: len(self._trainer.personal)]
        # Layers of its own are in the model by now; what else there is goes with each user.
        apart = len(own) and not self._trainer.model.personal_layers
        return self._scorer.of(log, own[None] if apart else None)
