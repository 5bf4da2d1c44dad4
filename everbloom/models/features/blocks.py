"""The frozen features that a model reads: of items, one block of columns for each modality, and of what is searched for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """`matrix` [items, width] float32: each modality's columns after those of the one before, zero where an item lacks it; `names`, `widths`,
    `weights` of the modalities; `present` [items, modalities] bool. `searches` [texts, width]: of the texts that were searched for, where a model
    reads them; these are private, and stay where the log is.
    """

    matrix: NDArray[np.float32]
    names: tuple[str, ...]
    widths: tuple[int, ...]
    weights: tuple[float, ...]
    present: NDArray[np.bool_]
    searches: NDArray[np.float32] | None = None
    founding: int | None = None
    """A reduction is laid out by the first so many items; None: by all."""

    @classmethod
    def of(cls, matrix: NDArray[np.float32], founding: int | None = None) -> "ItemFeatures":
        """One kind of content that every item has."""
        present = np.ones((len(matrix), 1), dtype=np.bool_)
        return cls(matrix, ("text",), (matrix.shape[1],), (1.0,), present, founding=founding)

    @classmethod
    def joined(cls, parts: "dict[str, tuple[NDArray[np.float32], float]]") -> "ItemFeatures":
        """Several: by name their features [items, width], rows of nan where an item has none, and their weights. Rows are scaled to unit length."""
        units = [_unit(features) for features, _ in parts.values()]
        return cls(
            matrix=np.concatenate([np.nan_to_num(unit, nan=0.0) for unit in units], axis=1),
            names=tuple(parts),
            widths=tuple(unit.shape[1] for unit in units),
            weights=tuple(weight for _, weight in parts.values()),
            present=np.stack([np.isfinite(unit).all(axis=1) for unit in units], axis=1),
        )

    def __len__(self) -> int:
        return len(self.matrix)

    def coverage(self) -> list[str]:
        """A phrase a modality: how many numbers it is, and of how many items."""
        shares = self.present.mean(axis=0).tolist()
        return [
            f"{name}: {width} numbers, of {share:.1%} of the items"
            for name, width, share in zip(self.names, self.widths, shares, strict=True)
        ]

    def fused(self) -> NDArray[np.float32]:
        """[items, width]: the blocks times their weights, over the length of the weights of those that the item has. Rows have unit length, so that
        the cosine of two items that have everything is the mean of their modalities' cosines, weighted with squared weights."""
        if len(self.names) == 1:
            return self.matrix
        weights = self.present * np.array(self.weights)
        length = np.linalg.norm(weights, axis=1, keepdims=True)
        share = weights / np.where(length > 0, length, 1.0)
        return np.ascontiguousarray(self.matrix * np.repeat(share, self.widths, axis=1), dtype=np.float32)


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of unit length; one that says nothing is one that is not there."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(length > 0, length, np.nan), dtype=np.float32)
