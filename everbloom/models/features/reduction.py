"""Fewer, decorrelated feature dimensions: what a small model under noise can afford."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def principal_components(features: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """[items, dims]: the features on their leading principal axes, whitened, rows scaled to unit length.

    A function of public texts alone, so it costs no privacy. Axis signs are fixed (largest loading positive) to make it reproducible. Fewer axes than
    `dims` leave zero columns, so that the width is what the experiment says.
    """
    return PrincipalAxes.fit(features, dims).project(features)


def project_like(features: NDArray[np.float32], dims: int | None, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """[others, dims]: other features on the principal axes of a catalogue's `features`; None leaves them as they are."""
    return others if dims is None else PrincipalAxes.fit(features, dims).project(others)


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Where a catalogue's features vary most: `mean` [width], `axes` [width, kept] in float64, their standard deviations [kept] (infinite where there
    is no variation), and the width `dims` of what is projected.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    deviation: NDArray[np.float64]
    dims: int

    @classmethod
    def fit(cls, features: NDArray[np.float32], dims: int) -> "PrincipalAxes":
        """Of the features [items, width] of a whole catalogue."""
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features.astype(np.float64) - mean
        values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        keep = min(dims, len(values))
        axes = axes[:, ::-1][:, :keep]
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(keep)])
        scale = np.sqrt(np.maximum(values[::-1][:keep], 1e-12))
        return cls(mean, axes, np.where(scale > 1e-5, scale, np.inf), dims)

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """[items, dims] of any items' features [items, width]."""
        projected = (features.astype(np.float64) - self.mean) @ self.axes / self.deviation
        projected /= np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
        return np.ascontiguousarray(np.pad(projected, ((0, 0), (0, self.dims - self.axes.shape[1]))), dtype=np.float32)
