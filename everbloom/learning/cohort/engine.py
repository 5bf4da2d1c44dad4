"""Trains a cohort: everybody's update from the same parameters, as a sum or one by one."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig, ModelConfig
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.budget import make_budget
from everbloom.learning.cohort.plain import PlainTraining
from everbloom.learning.cohort.private import PrivateTraining
from everbloom.learning.cohort.weights import Skeleton
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender
from everbloom.privacy.plan import PrivacyPlan

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class CohortUpdate:
    """`deltas` float32: the sum [1, params] or each client's [trained, params]; of the clients that are true in `trained` [clients].

    The others' updates were not finite: a number whose sensitivity is unknown never leaves a device.
    """

    deltas: NDArray[np.float32]
    trained: NDArray[np.bool_]


class CohortTrainer:
    """What `LocalTrainer` does for one client after another, for all of them together."""

    def __init__(
        self,
        model: Recommender,
        config: ModelConfig,
        layout: ParameterLayout,
        learning: LearningConfig,
        plan: PrivacyPlan | None,
        memory: int | None = None,
        device: torch.device = CPU,
    ) -> None:
        """Takes the model for itself. `memory`: bytes that training may hold, None for no limit."""
        self.learning = learning
        self.skeleton = Skeleton(model, layout, device)
        self.budget = make_budget(config, learning, layout.size(), model.item.items, memory)
        self.training = (
            PlainTraining(self.skeleton, learning, self.budget)
            if plan is None
            else PrivateTraining(self.skeleton, learning, plan, self.budget)
        )

    def total(self, parameters: NDArray[np.float32], cohort: Cohort) -> CohortUpdate:
        """The clients' updates from `parameters` [params], summed. Raises `InputError` if one client does not fit into the memory."""
        start = self._start(parameters)
        trained = np.ones(len(cohort), dtype=np.bool_)
        if len(cohort) and self.learning.local_steps == 1:
            total = self.training.together(start, cohort)
            if bool(total.isfinite().all()):
                return CohortUpdate(total.cpu().numpy()[None], trained)
        # One by one: each has its own parameters after the first step, or somebody's have to be left out.
        total = torch.zeros_like(start)
        for deltas in self.training.apart(start, cohort):
            good = deltas.finite()
            trained[deltas.clients[~good.cpu().numpy()]] = False
            deltas.add_to(total, self.skeleton, good)
        return CohortUpdate(total.cpu().numpy()[None], trained)

    def each(self, parameters: NDArray[np.float32], cohort: Cohort) -> CohortUpdate:
        """The clients' updates from `parameters` [params], one by one. Raises `InputError` if one client does not fit into the memory."""
        start = self._start(parameters)
        found = torch.zeros((len(cohort), len(start)))
        for deltas in self.training.apart(start, cohort):
            deltas.write_to(found, self.skeleton)
        trained = found.isfinite().all(dim=1).numpy()
        return CohortUpdate(found.numpy()[trained], trained)

    def _start(self, parameters: NDArray[np.float32]) -> torch.Tensor:
        # Arrays out of a message may be read-only, which torch remarks on; nothing here writes to them.
        return torch.from_numpy(parameters if parameters.flags.writeable else parameters.copy()).to(
            self.skeleton.device
        )
