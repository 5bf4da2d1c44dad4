"""The frozen features of a whole catalogue: computed once per method and what it reads, kept in a content-addressed cache."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.config import ItemModelConfig, ModelConfig
from everbloom.data.catalog import Catalog
from everbloom.errors import DataError
from everbloom.methods import Modality, Progress
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.reduction import principal_components

DEFAULT_TEXT = "{title}"


def features_of(
    catalog: Catalog, template: str | None, config: ItemModelConfig, cache: Path, progress: Progress
) -> ItemFeatures | None:
    """Of the catalogue's texts, or of all modalities; a model without features needs none, so that a bare table of events will do.

    `template` (of texts) None is `{title}`. Raises `DataError` if a template names a field that the catalogue does not have, needed or not; or if a
    modality cannot be read.
    """
    if template is not None:
        catalog.check(template)
    if config.modalities:
        if catalog.founding is not None:
            raise DataError(
                "model.items.modalities: the features of a catalogue that may grow would change with it; use model.items.features"
            )
        return ItemFeatures.joined(
            {
                name: (_modality(name, modality, catalog, template, cache, progress), modality.weight)
                for name, modality in config.modalities.items()
            }
        )
    if config.features is None:
        return None
    texts, within = catalog.texts(template or DEFAULT_TEXT), None
    if catalog.founding not in (None, len(catalog)) and not config.features.of_each_text_alone:
        within = texts[: catalog.founding]
    features = catalogue_features(texts, config, cache, progress, within)
    return None if features is None else ItemFeatures.of(features, catalog.founding)


def catalogue_features(
    texts: list[str], config: ItemModelConfig, cache: Path, progress: Progress, within: list[str] | None = None
) -> NDArray[np.float32] | None:
    """[items, features] float32; None if the model uses no features of texts alone. `within`: the catalogue's texts, where these are others beside
    them."""
    encoder = config.features
    if encoder is None:
        return None
    if within is None:
        return _cached(cache, encoder.fingerprint(), texts, lambda: encoder.encode(texts, progress))
    inputs = (*texts, "within", *within)
    return _cached(cache, encoder.fingerprint(), inputs, lambda: encoder.encode_within(within, texts, progress))


def with_searches(
    features: ItemFeatures | None, texts: Sequence[str], config: ModelConfig, cache: Path | None, progress: Progress
) -> ItemFeatures | None:
    """The features with those of what was searched for, if the model reads it. `cache` None keeps nothing: a device's searches are nobody else's."""
    encoder = config.items.text_encoder
    if features is None or encoder is None or not config.user.searches:
        return features
    given = list(texts)
    if not given:  # a device whose user has not searched for anything yet: as wide as anybody's
        return replace(features, searches=encoder.encode([""], progress)[:0])
    if cache is None:
        return replace(features, searches=encoder.encode(given, progress))
    return replace(
        features, searches=_cached(cache, encoder.fingerprint(), given, lambda: encoder.encode(given, progress))
    )


def _modality(
    name: str, modality: Modality, catalog: Catalog, template: str | None, cache: Path, progress: Progress
) -> NDArray[np.float32]:
    """[items, width] features of one modality, a row of nan where an item has none."""
    try:
        inputs = modality.read(catalog, template or DEFAULT_TEXT)
        there = [row for row, given in enumerate(inputs) if given]
        given = [inputs[row] for row in there]
        if not given:
            raise DataError("no item has it; check what it reads of the item table")
        identities = modality.identities(given)
        found = _cached(cache, modality.fingerprint(), identities, lambda: modality.encode(given, progress))
    except DataError as error:
        raise DataError(f"model.items.modalities.{name}: {error}") from None
    known = np.isfinite(found).all(axis=1) & found.any(axis=1)
    if not known.any():
        raise DataError(f"model.items.modalities.{name}: it knows none of {len(given)} items; check what it reads")
    if modality.dims is not None:
        reduced = np.full((len(found), modality.dims), np.nan, dtype=np.float32)
        reduced[known] = principal_components(found[known], modality.dims)
        found = reduced
    features = np.full((len(inputs), found.shape[1]), np.nan, dtype=np.float32)
    features[there] = found
    return features


def _cached(
    cache: Path, fingerprint: str, inputs: Iterable[str], compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """`cache` is a folder; an entry's name is the hash of the fingerprint and all inputs, so a stale entry cannot be hit."""
    digest = hashlib.sha256(fingerprint.encode())
    for given in inputs:
        digest.update(len(given).to_bytes(8, "big") + given.encode())
    path = cache / f"{digest.hexdigest()}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    features = compute()
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
