"""The frozen features of a whole catalogue: computed once per encoder and texts, kept in a content-addressed cache."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.config import ItemModelConfig
from everbloom.methods import Progress


def catalogue_features(
    texts: list[str], config: ItemModelConfig, cache: Path, progress: Progress
) -> NDArray[np.float32] | None:
    """[items, features] float32, reduced to `config.feature_dim`; None if the model uses no features.

    `cache` is a folder; an entry's name is the hash of the encoder's fingerprint and all texts, so a stale entry cannot be hit.
    """
    if config.features is None:
        return None
    digest = hashlib.sha256(config.features.fingerprint().encode())
    for text in texts:
        digest.update(len(text).to_bytes(8, "big") + text.encode())
    path = cache / f"{digest.hexdigest()}.npy"
    if path.is_file():
        features: NDArray[np.float32] = np.load(path, allow_pickle=False)
    else:
        features = config.features.encode(texts, progress)
        _store(path, features)
    return features if config.feature_dim is None else principal_components(features, config.feature_dim)


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


def _store(path: Path, features: NDArray[np.float32]) -> None:
    """Writes beside and renames, so that a reader never sees half an entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.save(stream, features)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
