"""What each client learns for itself beside the shared parameters: no part of a delta, so no part of what anybody else ever sees."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.cohort.weights import Skeleton


class _Selected(NamedTuple):
    """`clients` [units] of a batch and their values [units, personal], which gather its gradient."""

    clients: torch.Tensor
    values: torch.Tensor


class PersonalWeights:
    """Every client's own parameters of one round: `values` [clients, personal], changed by its steps; 0 wide if the model has none. What is kept of
    them are differences from the model's initial ones, so that zero is whoever has learnt nothing yet."""

    def __init__(self, skeleton: Skeleton, start: torch.Tensor | None, clients: int) -> None:
        """`start` [clients, at least personal], which stays as it is; None: nobody has learnt anything yet."""
        self.skeleton = skeleton
        width = sum(slot.end - slot.start for slot in skeleton.personal)
        self._start = torch.zeros((clients, width)) if start is None else start[:, :width]
        self._before = self._start.to(skeleton.device) + skeleton.initial.to(skeleton.device)
        self.values = self._before.clone()
        self._gradient = torch.zeros_like(self.values)
        self._selected: _Selected | None = None

    def select(self, clients: torch.Tensor) -> None:
        """Puts the parameters of the clients at `clients` [units] into the model."""
        values = self.values.index_select(0, clients).requires_grad_()
        self._selected = _Selected(clients, values)
        self.skeleton.layers.install({slot.name: self.skeleton.view(values, slot) for slot in self.skeleton.personal})

    def collect(self) -> None:
        """Adds the gradients of what was selected to its clients'."""
        assert self._selected is not None, "nothing was selected"
        if self._selected.values.grad is not None:
            self._gradient.index_add_(0, self._selected.clients, self._selected.values.grad)
        self._selected = None

    def step(self, rate: float) -> None:
        """Down the gradient, for all whose gradient was collected; the next step's begins at nothing."""
        self.values.sub_(self._gradient, alpha=rate)
        self._gradient.zero_()

    def finite(self, which: NDArray[np.int64] | slice = slice(None)) -> torch.Tensor:
        """[clients] bool, or of those at `which` alone."""
        return self.values[which].isfinite().all(dim=1)

    def kept(self, trained: NDArray[np.bool_]) -> NDArray[np.float32]:
        """[clients, personal] what those `trained` [clients] have reached; the others' is what it was."""
        before = self._start.numpy()
        moved: NDArray[np.float32] = (self.values - self._before).cpu().numpy()  # exactly nothing for who did not train
        return np.where(trained[:, None], before + moved, before)
