"""Models that clients train for themselves beside the shared one, a cohort's at once (`FederatedAlgorithm.own_pull`)."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.budget import MOST_CLIENTS
from everbloom.learning.cohort.personal import PersonalWeights
from everbloom.learning.cohort.plain import PlainTraining
from everbloom.learning.cohort.steered import WholeWeights
from everbloom.learning.cohort.weights import ClientWeights, DenseDeltas


class OwnModelTraining(PlainTraining):
    """Steps on exact gradients from where each client's own model last was; `learning` is `LearningConfig.own`. Who has no examples is pulled all the
    same. The shared model's training is another object, which knows nothing of this one."""

    _drift: torch.Tensor

    def train(self, start: torch.Tensor, cohort: Cohort, counted: slice) -> torch.Tensor:
        """[clients, params] on the CPU, what the models have become; before, they were what the cohort has `kept` [clients, params].

        `start` [params]: the shared model; `counted`: what of it is not moved.
        """
        assert cohort.kept is not None, "own models are kept"
        before = cohort.kept.to(start.device)
        self._drift = torch.where((before != 0).any(dim=1, keepdim=True), before - start, torch.zeros_like(before))
        self._drift[:, counted] = 0.0
        reached = torch.empty_like(cohort.kept)
        for deltas in self.apart(start, cohort, PersonalWeights(self.skeleton, None, len(cohort))):
            assert isinstance(deltas, DenseDeltas)
            reached[torch.from_numpy(deltas.clients)] = (start + deltas.values).cpu()
        idle = np.flatnonzero(cohort.counts == 0)
        for some in np.split(idle, range(MOST_CLIENTS, len(idle), MOST_CLIENTS)):
            drift = self._drift[some]
            for _ in range(self.learning.local_steps):
                drift -= self.learning.learning_rate * (self.learning.pull * drift)
            reached[torch.from_numpy(some)] = (start + drift).cpu()
        return reached

    def _weights(self, start: torch.Tensor, rows: torch.Tensor, some: NDArray[np.int64]) -> ClientWeights:
        drift = self._drift[some]
        return WholeWeights(self.skeleton, start, rows, torch.zeros_like(drift), drift)
