"""How a baseline ranks: as its papers measure it, and as a client would that receives the server's model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.federated_baselines.state import Clients
from everbloom.methods import FederatedBaseline

_TABLE = 1 << 23
"""Values of the item embeddings that are unfolded at once: 32 MB."""


@dataclass(frozen=True, eq=False)
class OwnScorer:
    """Each client scores with the item embedding that it has just trained and that no server has averaged: what the papers report.

    `sent` [items, dim]: what the clients' training began with.
    """

    method: FederatedBaseline
    clients: Clients
    sent: torch.Tensor

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32."""
        users = torch.from_numpy(cases.user[positions].astype(np.int64))
        size = max(1, _TABLE // self.sent.numel())
        with torch.no_grad():
            return torch.cat([self._scores(some) for some in users.split(size)])

    def _scores(self, users: torch.Tensor) -> torch.Tensor:
        own = {name: values[users] for name, values in self.clients.own.items()}
        return self.method.logits(own, self.clients.tables(self.sent, users))


@dataclass(frozen=True, eq=False)
class AggregatedScorer:
    """Each client scores with the server's `items` [items, dim] and its `own` [users, ...] parameters, as when it has received a round's result."""

    method: FederatedBaseline
    own: Mapping[str, torch.Tensor]
    items: torch.Tensor

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32."""
        users = torch.from_numpy(cases.user[positions].astype(np.int64))
        size = max(1, _TABLE // self.items.numel())
        with torch.no_grad():
            return torch.cat(
                [
                    self.method.logits(
                        {name: values[some] for name, values in self.own.items()}, self.items.expand(len(some), -1, -1)
                    )
                    for some in users.split(size)
                ]
            )
