"""Fewer, decorrelated feature dimensions: what a small model under noise can afford."""

import numpy as np
from numpy.typing import NDArray


def principal_components(features: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """[items, dims]: the features on their leading principal axes, whitened, rows scaled to unit length.

    A function of public texts alone, so it costs no privacy. Axis signs are fixed (largest loading positive) to make it reproducible. Fewer axes than
    `dims` leave zero columns, so that the width is what the experiment says.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    keep = min(dims, len(values))
    axes = axes[:, ::-1][:, :keep]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(keep)])
    scale = np.sqrt(np.maximum(values[::-1][:keep], 1e-12))
    projected = centred @ axes / np.where(scale > 1e-5, scale, np.inf)
    projected /= np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
    return np.ascontiguousarray(np.pad(projected, ((0, 0), (0, dims - keep))), dtype=np.float32)
