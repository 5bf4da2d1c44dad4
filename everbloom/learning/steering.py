"""A federated algorithm's part in local training: what it adds to every gradient, and what devices remember of a round."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.models.layout import ParameterLayout


def kept_size(layout: ParameterLayout, learning: LearningConfig) -> int:
    """Numbers that a device keeps from round to round: its personal parameters, then what its algorithm remembers."""
    algorithm = learning.algorithm
    return layout.size("personal") + (0 if algorithm is None else algorithm.kept(layout.size()))


class Steering:
    """Of some clients in one round. `values` [clients, numbers]: what their algorithm remembers, brought up to date by `remember`."""

    def __init__(
        self,
        layout: ParameterLayout,
        learning: LearningConfig,
        kept: torch.Tensor | None,
        clients: int,
        sent: NDArray[np.float32] | None,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - a constant
    ) -> None:
        """`kept` [clients, numbers] as `kept_size` counts them, which stays as it is; None: nobody remembers anything. `sent` [params]: what the
        server sent beside the model."""
        algorithm = learning.algorithm
        assert algorithm is not None, "there is nothing to steer by"
        self.algorithm = algorithm
        self.learning = learning
        self.device = device
        self._counted = layout.counted
        first, size = layout.size("personal"), algorithm.kept(layout.size())
        self._start = torch.zeros((clients, size)) if kept is None else kept[:, first:]
        self.values = self._start.clone()
        self._sent = None if sent is None else torch.from_numpy(sent.copy()).to(device)

    def linear(self, clients: NDArray[np.int64] | slice = slice(None)) -> torch.Tensor:
        """[clients, params] of those at `clients`: what is added to the gradient in every step. What is counted is not moved."""
        added = self.algorithm.linear(self.values[clients].to(self.device), self._sent)
        added[:, self._counted] = 0.0
        return added

    def remember(self, deltas: torch.Tensor, clients: NDArray[np.int64] | slice = slice(None)) -> None:
        """After a round that moved those at `clients` by `deltas` [clients, params]."""
        before = self.values[clients].to(self.device)
        self.values[clients] = self.algorithm.remembered(before, deltas, self._sent, self.learning).cpu()

    def kept(self, trained: NDArray[np.bool_]) -> NDArray[np.float32]:
        """[clients, numbers] of those `trained` [clients] as it is by now; of the others as it was."""
        return np.where(trained[:, None], self.values.numpy(), self._start.numpy())
