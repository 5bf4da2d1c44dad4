"""The best linear item-item model, in closed form."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from everbloom.data.cases import Cases
from everbloom.data.events import EventLog
from everbloom.errors import DataError
from everbloom.evaluation.past import Past, histories
from everbloom.methods import Baseline


@dataclass(frozen=True, eq=False)
class Ease:
    """`weight` [items, items] float32 with a diagonal of 0."""

    log: EventLog
    weight: NDArray[np.float32]

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32; 0 everywhere for an empty history."""
        known = histories(cases, self.log, positions, len(self.weight))
        return torch.from_numpy(np.asarray(known @ self.weight, dtype=np.float32))


def closed_form(interactions: csr_array, l2: float) -> NDArray[np.float32]:
    """[items, items] B = argmin |X - X B|^2 + l2 |B|^2 with diag(B) = 0, for X = `interactions` [users, items]: with P = (X^T X + l2 I)^-1,
    B_ij = -P_ij / P_jj. Solved in float64: P is ill-conditioned where l2 is small against popular items' counts.
    """
    gram = (interactions.T @ interactions).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    inverse = cho_solve(cho_factor(gram, overwrite_a=True), np.eye(len(gram)), overwrite_b=True)
    weight = np.asarray(inverse / -np.diag(inverse), dtype=np.float32)
    np.fill_diagonal(weight, 0)
    return weight


class EaseBaseline(Baseline):
    """Centralised reference, reads everybody's events: a user's scores are x B, x the binary row of the user's items and B = argmin |X - X B|^2 +
    l2 |B|^2 with diag(B) = 0 in closed form (EASE; Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019)."""

    name: Literal["ease"] = "ease"
    l2: PositiveFloat = 500.0
    max_items: PositiveInt = 10_000
    """Refuses larger catalogues: the solution takes 24 bytes for each pair of items, and items^3 operations."""
    reads: ClassVar[str] = "everybody"

    def unfit(self, past: Past) -> str | None:
        """A catalogue may be too large to be solved."""
        if past.items > self.max_items:
            return (
                f"ease: {past.items:,} items are more than max_items = {self.max_items:,}, and take "
                f"{24e-9 * past.items**2:.1f} GB; raise it (ease:max_items={past.items}), or leave it out with --only"
            )
        return None

    def fit(self, past: Past) -> Ease:
        """See `Baseline`."""
        if (reason := self.unfit(past)) is not None:
            raise DataError(reason)
        return Ease(past.timeline.log, closed_form(past.interactions(), self.l2))
