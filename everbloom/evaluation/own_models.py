"""Scoring users by whole models of their own, one model after the other; and by the shared one whoever has none."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.models.layout import ParameterLayout
from everbloom.models.own_model import model_of
from everbloom.models.recommender import CatalogueVectors, Recommender

Scores = Callable[[Cases, NDArray[np.int64], CatalogueVectors], torch.Tensor]
"""[b, items] of cases at positions, with the model's vectors of the catalogue."""


class OwnModels:
    """`values` [users, params], zeros for who has none. A model of one's own has item vectors of its own, which are computed for each user anew."""

    def __init__(
        self, model: Recommender, layout: ParameterLayout, bound: torch.Tensor, values: NDArray[np.float32]
    ) -> None:
        """`bound` [params]: the shared parameters that the model holds, as a view of them."""
        self._model = model
        self._layout = layout
        self._bound = bound
        self._shared = bound.clone()
        self._values = values

    def score(
        self, scores: Scores, cases: Cases, positions: NDArray[np.int64], shared: CatalogueVectors
    ) -> torch.Tensor:
        """[b, items]. `shared`: the catalogue under the shared parameters, which the model holds before and after."""
        has = np.array([self._values[user].any() for user in cases.user[positions]], dtype=np.bool_)
        found = [(np.flatnonzero(~has), scores(cases, positions[~has], shared))]
        for some in by_user(cases, positions[has]):
            places = np.flatnonzero(has)[some]
            own = self._values[cases.user[positions[places[0]]]]
            self._bound.copy_(torch.from_numpy(model_of(own, self._shared.numpy(), self._layout)))
            found.append((places, scores(cases, positions[places], self._model.catalogue())))
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
