"""Local training without privacy under an algorithm that moves every parameter in every step (`FederatedAlgorithm.steers`)."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.budget import MOST_CLIENTS
from everbloom.learning.cohort.personal import PersonalWeights
from everbloom.learning.cohort.plain import PlainTraining
from everbloom.learning.cohort.weights import ClientWeights, DenseDeltas, Skeleton
from everbloom.learning.steering import Steering


class SteeredTraining(PlainTraining):
    """Steps on exact gradients and what `steering` adds to them. Who has no examples takes its steps too: its loss is 0, and so is its gradient."""

    steering: Steering
    """Of the cohort that is trained next."""

    def apart(self, start: torch.Tensor, cohort: Cohort, personal: PersonalWeights) -> Iterator[DenseDeltas]:
        """See `PlainTraining`; everybody's."""
        for deltas in super().apart(start, cohort, personal):
            assert isinstance(deltas, DenseDeltas)
            yield self._remembered(deltas)
        idle = np.flatnonzero(cohort.counts == 0)
        for some in np.split(idle, range(MOST_CLIENTS, len(idle), MOST_CLIENTS)):
            drift = torch.zeros((len(some), len(start)), device=self.skeleton.device)
            linear = self.steering.linear(some)
            for _ in range(self.learning.local_steps):
                drift -= self.learning.learning_rate * (linear + self.learning.pull * drift)
            yield self._remembered(DenseDeltas(some, drift))

    def _weights(self, start: torch.Tensor, rows: torch.Tensor, some: NDArray[np.int64]) -> ClientWeights:
        return WholeWeights(self.skeleton, start, rows, self.steering.linear(some))

    def _remembered(self, deltas: DenseDeltas) -> DenseDeltas:
        self.steering.remember(deltas.values, deltas.clients)
        return deltas


class WholeWeights(ClientWeights):
    """A whole set of parameters for each client, of which the model is shown the rows that the client reads."""

    @torch.no_grad()
    def __init__(
        self,
        skeleton: Skeleton,
        start: torch.Tensor,
        rows: torch.Tensor,
        linear: torch.Tensor,
        drift: torch.Tensor | None = None,
    ) -> None:
        """`start` [params]; `rows` [clients, rows] of the item tables that each client reads; `linear` [clients, params] is added to gradients;
        `drift` [clients, params]: how far from `start` they begin, None for not at all."""
        super().__init__(skeleton, start, rows)
        self._linear = linear
        self._drift = torch.zeros_like(linear) if drift is None else drift
        if drift is not None:
            self._show()

    @torch.no_grad()
    def step(self, learning_rate: float, pull: float) -> None:
        """See `ClientWeights`."""
        gradient = self._linear + pull * self._drift
        for slot in self.skeleton.dense:
            found = self._leaves[slot.name].grad
            if found is not None:
                gradient[:, slot.start : slot.end] += found.flatten(1)
        for slot in self.skeleton.tables:
            found = self._leaves[slot.name].grad
            if found is not None:  # filled-up rows name item 0 again, with nothing to add
                self.skeleton.view(gradient, slot).index_put_(self._places, found, accumulate=True)
        self._drift.sub_(gradient, alpha=learning_rate)
        self._show()

    def deltas(self, clients: NDArray[np.int64]) -> DenseDeltas:
        """See `ClientWeights`."""
        return DenseDeltas(clients, self._drift)

    @property
    def _places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where an item table [clients, items, ...] holds the rows."""
        return torch.arange(len(self.rows), device=self.rows.device).unsqueeze(1), self.rows

    def _show(self) -> None:
        """Brings what the model sees up to date; the next step's gradient begins at nothing."""
        for slot in self.skeleton.dense:
            moved = self._start[slot.name] + self.skeleton.view(self._drift, slot)
            self._renew(slot.name, moved)
        for slot in self.skeleton.tables:
            self._renew(slot.name, self._start[slot.name] + self.skeleton.view(self._drift, slot)[self._places])

    def _renew(self, name: str, value: torch.Tensor) -> None:
        leaf = self._leaves[name]
        leaf.copy_(value)
        leaf.grad = None
