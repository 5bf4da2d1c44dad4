"""Items that are taken by the same people: cosine with shrinkage, the nearest neighbours of each item."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from scipy.sparse import csr_array

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.evaluation.past import Past, histories
from everbloom.evaluation.ranking import sort_keys
from everbloom.methods import Baseline

_BLOCK_CELLS = 1 << 22
"""Similarities that are held at once: some tens of megabytes."""


@dataclass(frozen=True, eq=False)
class ItemKnn:
    """`similar` [items, items] sparse: row j holds the similarities of the items that have j among their neighbours."""

    log: EventLog
    similar: csr_array

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32; 0 everywhere for an empty history."""
        known = histories(cases, self.log, positions, self.similar.shape[0])
        return torch.from_numpy((known @ self.similar).toarray())


def nearest(interactions: csr_array, neighbours: int, shrinkage: float) -> csr_array:
    """[items, items] float32: s_ij = x_i . x_j / (|x_i| |x_j| + shrinkage) of columns of `interactions` [users, items], kept in column j for the
    `neighbours` most similar items i != j with s_ij > 0 alone; of equal ones the lower index first.
    """
    items = interactions.shape[1]
    columns = csr_array(interactions.T)
    length = np.sqrt(np.diff(columns.indptr)).astype(np.float32)
    rows, found, values = [], [], []
    step = max(1, _BLOCK_CELLS // max(items, 1))
    for start in range(0, items, step):
        block = np.arange(start, min(start + step, items))
        together = (columns[block] @ interactions).toarray()
        together[np.arange(len(block)), block] = 0
        scale = length[block, None] * length + np.float32(shrinkage)
        cosine = np.divide(together, scale, out=np.zeros_like(together), where=scale > 0)
        best = sort_keys(torch.from_numpy(cosine)).topk(min(neighbours, items), dim=1).indices.numpy()
        value = np.take_along_axis(cosine, best, axis=1)
        owner, place = np.nonzero(value > 0)
        rows.append(best[owner, place])
        found.append(block[owner])
        values.append(value[owner, place])
    places = (np.concatenate(rows), np.concatenate(found))
    return csr_array((np.concatenate(values).astype(np.float32), places), shape=(items, items))


class ItemKnnBaseline(Baseline):
    """Centralised reference, reads everybody's events: score(u, j) = sum over the user's items i among the nearest neighbours of j of
    x_i . x_j / (|x_i| |x_j| + shrinkage), x_i the binary column of the users with item i in their training positives (item-based collaborative
    filtering: Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004; shrinkage as in Ferrari Dacrema et al., RecSys 2019)."""

    name: Literal["item-knn"] = "item-knn"
    neighbours: PositiveInt = 100
    """Of each item."""
    shrinkage: Annotated[float, Field(ge=0)] = 10.0
    """Draws similarities that rest on few people to 0."""
    reads: ClassVar[str] = "everybody"

    def fit(self, past: Past) -> ItemKnn:
        """See `Baseline`."""
        return ItemKnn(past.timeline.log, nearest(past.interactions(), self.neighbours, self.shrinkage))
