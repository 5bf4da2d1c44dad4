"""The frozen features of a whole catalogue: computed once per encoder and texts, kept in a content-addressed cache."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.methods import Progress

DEFAULT_TEXT = "{title}"


def features_of(
    catalog: Catalog, template: str | None, config: ItemModelConfig, cache: Path, progress: Progress
) -> NDArray[np.float32] | None:
    """`catalogue_features` of the catalogue's texts; a model without features needs none, so that a bare table of events will do.

    `template` None is `{title}`. Raises `DataError` if a template names a field that the catalogue does not have, needed or not.
    """
    if template is not None:
        catalog.check(template)
    if config.features is None:
        return None
    return catalogue_features(catalog.texts(template or DEFAULT_TEXT), config, cache, progress)


def catalogue_features(
    texts: list[str], config: ItemModelConfig, cache: Path, progress: Progress, within: list[str] | None = None
) -> NDArray[np.float32] | None:
    """[items, features] float32; None if the model uses no features. `within`: the catalogue's texts, where these are others beside them.

    `cache` is a folder; an entry's name is the hash of the encoder's fingerprint and all texts, so a stale entry cannot be hit.
    """
    if config.features is None:
        return None
    digest = hashlib.sha256(config.features.fingerprint().encode())
    for text in (*texts, *([] if within is None else ["within", *within])):
        digest.update(len(text).to_bytes(8, "big") + text.encode())
    path = cache / f"{digest.hexdigest()}.npy"
    if path.is_file():
        features: NDArray[np.float32] = np.load(path, allow_pickle=False)
    else:
        encoder = config.features
        features = encoder.encode(texts, progress) if within is None else encoder.encode_within(within, texts, progress)
        _store(path, features)
    return features


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
