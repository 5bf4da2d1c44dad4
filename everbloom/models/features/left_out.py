"""Item features with one field of the text left out: how an encoder would see items of which it was not told that field."""

import string
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.methods import Progress
from everbloom.models.features.catalogue import DEFAULT_TEXT, catalogue_features


def text_fields(template: str | None) -> list[str]:
    """The fields that a text template names, each once, in order; None is the default template."""
    named = [name for _, name, _, _ in string.Formatter().parse(template or DEFAULT_TEXT) if name]
    return list(dict.fromkeys(named))


def features_without_fields(
    catalog: Catalog, template: str | None, config: ItemModelConfig, cache: Path, progress: Progress
) -> dict[str, NDArray[np.float32]]:
    """field -> features [items, width] of the texts without it, in the space of the whole texts; cached like those.

    As many encodings of the catalogue as its text has fields: public content, computed once wherever the catalogue is. Empty if the model has no
    features, or if there is one field: without it there is no text.
    """
    fields = text_fields(template)
    if config.features is None or len(fields) < 2:
        return {}
    template = template or DEFAULT_TEXT
    whole = catalog.texts(template)
    empty = StringColumn.of("" for _ in range(len(catalog)))
    found: dict[str, NDArray[np.float32]] = {}
    for field in fields:
        if field == "id":
            continue
        without = replace(catalog, fields={**catalog.fields, field: empty}).texts(template)
        features = catalogue_features(without, config, cache, progress, within=whole)
        assert features is not None, "the model has features"
        found[field] = features
    return found
