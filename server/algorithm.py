"""A federated algorithm's part on the server: what is sent beside the model, and what becomes of a round's mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.methods import FederatedAlgorithm
from everbloom.study import Study

Memory = Mapping[str, NDArray[np.float32]]


@dataclass
class ServerAlgorithm:
    """`memory` is the algorithm's, from round to round. `population`: devices that can be asked at all; `expected`: share of them in a round under a
    plan, whose means are over a fixed number; None where those who answered count."""

    algorithm: FederatedAlgorithm
    learning: LearningConfig
    population: int
    expected: float | None = None
    memory: Memory = field(default_factory=dict)

    @property
    def sent(self) -> NDArray[np.float32] | None:
        """[params] beside the model."""
        return self.algorithm.sent(self.memory) if self.algorithm.sends else None

    def combined(self, mean_delta: NDArray[np.float32], clients: int) -> tuple[NDArray[np.float32], Memory]:
        """(what the server's optimizer applies, the memory after it) of the released mean of so many clients' updates."""
        share = clients / self.population if self.expected is None else self.expected
        return self.algorithm.combined(self.memory, mean_delta, share, self.learning)


def algorithm_of(study: Study, memory: Memory) -> ServerAlgorithm | None:
    """An experiment's, as it stands; None if it has none."""
    learning, course = study.experiment.learning, study.course
    if learning.algorithm is None:
        return None
    expected = None if study.plan is None else course.cohort / course.population
    return ServerAlgorithm(learning.algorithm, learning, course.population, expected, memory)
