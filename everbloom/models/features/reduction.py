"""Fewer, decorrelated feature dimensions: what a small model under noise can afford."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PrincipalMap:
    """x -> unit((x - mean) axes): `mean` [width], `axes` [width, dims] float64, scaled so that the features it was made of come out white.

    A function of public texts alone, so it costs no privacy. Axis signs are fixed (largest loading positive) to make it reproducible. Fewer axes than
    `dims` leave zero columns, so that the width is what the experiment says.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32], dims: int) -> "PrincipalMap":
        """The leading principal axes of features [items, width]."""
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features.astype(np.float64) - mean
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        keep = min(dims, len(values))
        axes = axes[:, ::-1][:, :keep]
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(keep)])
        scale = np.sqrt(np.maximum(values[::-1][:keep], 1e-12))
        axes = axes / np.where(scale > 1e-5, scale, np.inf)
        return cls(mean, np.pad(axes, ((0, 0), (0, dims - keep))))

    @property
    def width(self) -> int:
        """Of what comes out."""
        return int(self.axes.shape[1])

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """[items, width] -> [items, dims], rows of unit length."""
        projected = (features.astype(np.float64) - self.mean) @ self.axes
        projected /= np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
        return np.ascontiguousarray(projected, dtype=np.float32)


def principal_components(features: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """[items, dims]: the features on their leading principal axes, whitened, rows scaled to unit length."""
    return PrincipalMap.of(features, dims).apply(features)
