"""Texts that are no item's: a person's words, or an item's text with a field left out, as a given recommender reads them."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError
from everbloom.methods import Progress
from everbloom.models.features.catalogue import DEFAULT_TEXT, catalogue_features
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.features.template import text_fields
from everbloom.models.recommender import Recommender
from everbloom.models.settled import tower_features
from everbloom.models.towers.states import text_states


class OtherTexts(NamedTuple):
    """`read` [texts, width]: what the item encoder's adapter is given; `unit` [texts, width]: what a content match compares."""

    read: torch.Tensor
    unit: torch.Tensor


def read_texts(
    model: Recommender,
    config: ItemModelConfig,
    catalogue: list[str],
    others: list[str],
    cache: Path,
    progress: Progress,
) -> OtherTexts:
    """Other texts beside the `catalogue`'s, by the encoder, the reduction and, where there is one, the tower of a model.

    Raises `ConfigError` if the model reads no texts.
    """
    features = catalogue_features(others, config, cache, progress, within=catalogue)
    if features is None:
        raise ConfigError(
            "model.items.features: this model knows items by their numbers alone and reads no words; train one with features"
        )
    read = torch.from_numpy(features if model.reduction is None else model.reduction.apply(features))
    if config.tower is not None and model.item.tower is not None:
        assert isinstance(config.features, LanguageModelFeatures), "the configuration was checked"
        encoder = config.features
        states = text_states(others, encoder.model, encoder.max_tokens, config.tower, cache, progress)
        read = tower_features(model.item.tower, states)
    return OtherTexts(read, functional.normalize(torch.from_numpy(features), dim=1))


def texts_without_fields(
    model: Recommender, config: ItemModelConfig, catalog: Catalog, template: str | None, cache: Path, progress: Progress
) -> dict[str, OtherTexts]:
    """field -> every item's text without it, as the model reads that.

    As many encodings of the catalogue as its text has fields: public content, computed once and cached wherever the catalogue is. Empty if the model
    reads no texts, or one field: without it there is no text.
    """
    fields = [field for field in text_fields(template or DEFAULT_TEXT) if field != "id"]
    if config.features is None or len(fields) < 2:
        return {}
    template = template or DEFAULT_TEXT
    whole = catalog.texts(template)
    empty = StringColumn.of("" for _ in range(len(catalog)))
    found = {}
    for field in fields:
        texts = replace(catalog, fields={**catalog.fields, field: empty}).texts(template)
        found[field] = read_texts(model, config, whole, texts, cache, progress)
    return found
