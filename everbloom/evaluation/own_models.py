"""Scoring users by models that are not the shared one, one model after the other; and by the shared one whoever has no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.models.copies import Copies
from everbloom.models.layout import ParameterLayout
from everbloom.models.own_model import model_of
from everbloom.models.recommender import CatalogueVectors, Recommender

Scores = Callable[[Cases, NDArray[np.int64], CatalogueVectors], torch.Tensor]
"""[b, items] of cases at positions, with the model's vectors of the catalogue."""

SHARED = -1
_CATALOGUES = 8
"""Of how many models the item vectors are kept: clusters are few, and models of users' own do not come again."""


class ServedModels(Protocol):
    """Who is served by which model."""

    def of(self, users: NDArray[np.int32]) -> NDArray[np.int64]:
        """[b] the number of each user's model; `SHARED` for who has no other."""
        ...

    def parameters(self, model: int, shared: NDArray[np.float32]) -> NDArray[np.float32]:
        """[params] of a model, beside the `shared` one."""
        ...


@dataclass(frozen=True, eq=False)
class UsersOwn:
    """A whole model for each user: `values` [users, params], zeros for who has none (Ditto)."""

    values: NDArray[np.float32]
    layout: ParameterLayout

    def of(self, users: NDArray[np.int32]) -> NDArray[np.int64]:
        """See `ServedModels`."""
        has = np.array([self.values[user].any() for user in users], dtype=np.bool_)
        return np.where(has, users, SHARED).astype(np.int64)

    def parameters(self, model: int, shared: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `ServedModels`."""
        return model_of(self.values[model], shared, self.layout)


@dataclass(frozen=True, eq=False)
class ClusterModels:
    """A model for each cluster, of `vector` [params of all]. `choice` [users]: the cluster of each (IFCA); -1 for who has not chosen and is served by
    the first, since a device does not know what others choose."""

    copies: Copies
    vector: NDArray[np.float32]
    choice: NDArray[np.int64]

    def of(self, users: NDArray[np.int32]) -> NDArray[np.int64]:
        """See `ServedModels`."""
        return self.choice[users]

    def parameters(self, model: int, shared: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `ServedModels`."""
        return self.copies.taken(self.vector, model)


class OwnModels:
    """A model that is not the shared one has item vectors of its own, which are computed for each anew."""

    def __init__(self, model: Recommender, bound: torch.Tensor, served: ServedModels) -> None:
        """`bound` [params]: the shared parameters that the model holds, as a view of them."""
        self._model = model
        self._bound = bound
        self._shared = bound.clone()
        self._served = served
        self._catalogue = lru_cache(_CATALOGUES)(lambda number: model.catalogue())

    def score(
        self, scores: Scores, cases: Cases, positions: NDArray[np.int64], shared: CatalogueVectors
    ) -> torch.Tensor:
        """[b, items]. `shared`: the catalogue under the shared parameters, which the model holds before and after."""
        number = self._served.of(cases.user[positions])
        without = np.flatnonzero(number == SHARED)
        found = [(without, scores(cases, positions[without], shared))]
        for model in np.unique(number[number != SHARED]).tolist():
            places = np.flatnonzero(number == model)
            parameters = self._served.parameters(model, self._shared.numpy())
            self._bound.copy_(torch.from_numpy(parameters))
            found.append((places, scores(cases, positions[places], self._catalogue(model))))
        self._bound.copy_(self._shared)
        return in_order(found)


def by_user(cases: Cases, positions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indices into `positions`, those of one user together."""
    order = np.argsort(cases.user[positions], kind="stable")
    ends = np.flatnonzero(np.diff(cases.user[positions[order]])) + 1
    return [some for some in np.split(order, ends) if len(some)]


def in_order(found: Sequence[tuple[NDArray[np.int64], torch.Tensor]]) -> torch.Tensor:
    """[b, items] out of the rows at several places of it."""
    places = np.concatenate([some for some, _ in found])
    return torch.cat([rows for _, rows in found])[torch.from_numpy(np.argsort(places, kind="stable"))]
