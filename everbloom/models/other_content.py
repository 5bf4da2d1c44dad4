"""Content that is no item's: a person's words, or an item's content with a part left out, as a given recommender reads it."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError
from everbloom.methods import FeatureEncoder, Modality, Progress
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.catalogue import DEFAULT_TEXT, catalogue_features
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.features.reduction import PrincipalMap
from everbloom.models.features.template import text_fields
from everbloom.models.recommender import Recommender
from everbloom.models.settled import tower_features
from everbloom.models.towers.states import text_states


class OtherContent(NamedTuple):
    """`read` [rows, width]: what the item encoder is given; `unit` [rows, width]: what is compared with other items' content. Where modalities are
    fused by gates, which read them one by one: `matrix` [rows, width] and `present` [rows, modalities].
    """

    read: torch.Tensor
    unit: torch.Tensor
    matrix: torch.Tensor | None = None
    present: torch.Tensor | None = None

    @classmethod
    def of(cls, model: Recommender, whole: ItemFeatures) -> "OtherContent":
        """What a model without a tower makes of whole features."""
        reduced = whole if model.reduction is None else ItemFeatures.of(model.reduction.apply(whole.matrix))
        unit = functional.normalize(torch.from_numpy(whole.fused()), dim=1)
        read = torch.from_numpy(reduced.fused())
        if model.item.fusion is None:
            return cls(read, unit)
        present = torch.from_numpy(reduced.present) * torch.tensor(reduced.weights)
        return cls(read, unit, torch.from_numpy(reduced.matrix), present.float())

    def buffers(self) -> dict[str, torch.Tensor]:
        """What an item encoder has in place of its own to read this."""
        gated = {"fusion.features": self.matrix, "fusion.present": self.present}
        return {"features": self.read} | {name: value for name, value in gated.items() if value is not None}


class TextReader:
    """Reads texts beside those of a catalogue, by the encoder, the reduction and, where there is one, the tower of a model."""

    def __init__(
        self,
        model: Recommender,
        config: ItemModelConfig,
        features: ItemFeatures | None,
        catalog: Catalog,
        template: str | None,
        cache: Path,
    ) -> None:
        """`features`: the catalogue's, whole; `template`: the experiment's. Raises `ConfigError` if the model reads no texts."""
        if config.text_encoder is None or features is None:
            raise ConfigError(
                "model.items.features: this model knows items by their numbers alone and reads no words; train one with features of texts"
            )
        self.model, self.config, self.features, self.catalog, self.cache = model, config, features, catalog, cache
        self.encoder: FeatureEncoder = config.text_encoder
        self.modality: Modality | None = (
            None if config.features is not None else list(config.modalities.values())[config.text_block]
        )
        self.template: str = getattr(self.modality, "template", None) or template or DEFAULT_TEXT

    def read(self, texts: list[str], progress: Progress) -> OtherContent:
        """Of each text, and of nothing else."""
        block = self._encoded(texts, progress)
        features, number = self.features, self.config.text_block
        matrix = np.zeros((len(texts), features.matrix.shape[1]), dtype=np.float32)
        start = sum(features.widths[:number])
        matrix[:, start : start + block.shape[1]] = block
        present = np.zeros((len(texts), len(features.names)), dtype=np.bool_)
        present[:, number] = block.any(axis=1)
        return self._read(replace(features, matrix=matrix, present=present, searches=None), texts, progress)

    def without_fields(self, progress: Progress) -> dict[str, OtherContent]:
        """`field:NAME` -> every item's content without that field of its text.

        As many encodings of the catalogue as its text has fields: public content, computed once and cached wherever the catalogue is. Empty if the
        text has one field: without it there is no text.
        """
        fields = [field for field in text_fields(self.template) if field != "id"]
        if len(fields) < 2:
            return {}
        empty = StringColumn.of("" for _ in range(len(self.catalog)))
        found = {}
        for field in fields:
            catalog = replace(self.catalog, fields={**self.catalog.fields, field: empty})
            texts = catalog.texts(self.template)
            found[f"field:{field}"] = self._read(self._with_block(self._encoded(texts, progress)), texts, progress)
        return found

    def _with_block(self, block: NDArray[np.float32]) -> ItemFeatures:
        """The catalogue's features with other ones of the text."""
        number, features = self.config.text_block, self.features
        start = sum(features.widths[:number])
        matrix, present = features.matrix.copy(), features.present.copy()
        matrix[:, start : start + block.shape[1]] = block
        present[:, number] &= block.any(axis=1)
        return replace(features, matrix=matrix, present=present, searches=None)

    def _encoded(self, texts: list[str], progress: Progress) -> NDArray[np.float32]:
        """[texts, width] of the block of texts, rows as long as the catalogue's."""
        alone = ItemModelConfig(features=self.encoder)
        known = [text for text in self.catalog.texts(self.template) if text or self.modality is None]
        block = catalogue_features(texts, alone, self.cache, progress, within=known)
        assert block is not None, "there is an encoder"
        if self.modality is None:
            return block
        if self.modality.dims is not None:
            whole = catalogue_features(known, alone, self.cache, progress)
            assert whole is not None, "there is an encoder"
            block = PrincipalMap.of(whole[whole.any(axis=1)], self.modality.dims).apply(block) * block.any(
                axis=1, keepdims=True
            )
        length = np.linalg.norm(block, axis=1, keepdims=True)
        return np.asarray(block / np.where(length > 0, length, 1.0), dtype=np.float32)

    def _read(self, whole: ItemFeatures, texts: list[str], progress: Progress) -> OtherContent:
        found = OtherContent.of(self.model, whole)
        tower = self.model.item.tower
        if self.config.tower is None or tower is None:
            return found
        encoder = self.config.features
        assert isinstance(encoder, LanguageModelFeatures), "the configuration was checked"
        states = text_states(texts, encoder.model, encoder.max_tokens, self.config.tower, self.cache, progress)
        return found._replace(read=tower_features(tower, states))


def without_modalities(model: Recommender, features: ItemFeatures | None) -> dict[str, OtherContent]:
    """`modality:NAME` -> every item's content without that modality; empty where there is one alone."""
    if features is None or len(features.names) < 2:
        return {}
    found, start = {}, 0
    for number, (name, width) in enumerate(zip(features.names, features.widths, strict=True)):
        matrix, present = features.matrix.copy(), features.present.copy()
        matrix[:, start : start + width] = 0
        present[:, number] = False
        start += width
        left = replace(features, matrix=matrix, present=present, searches=None)
        found[f"modality:{name}"] = OtherContent.of(model, left)
    return found
