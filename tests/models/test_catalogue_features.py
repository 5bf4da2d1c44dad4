"""Frozen features: computed once for a catalogue's texts, and reduced reproducibly."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError
from everbloom.methods import FEATURE_ENCODERS, FeatureEncoder
from everbloom.models.features.catalogue import catalogue_features, features_of

CALLS: list[int] = []


class Counting(FeatureEncoder):
    """Length and vowels; remembers how often it was asked."""

    name: Literal["counting"] = "counting"
    option: int = 0

    def encode(self, texts, progress):
        CALLS.append(len(texts))
        return np.array([[len(text), sum(map(text.count, "aeiou"))] for text in texts], dtype=np.float32)

    def fingerprint(self):
        return f"counting/{self.option}"


def features(texts: list[str], cache: Path, option: int = 0, **config: int) -> np.ndarray:
    items = ItemModelConfig(features=Counting(option=option), **config)
    found = catalogue_features(texts, items, cache, lambda done, total: None)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def test_a_catalogue_is_encoded_once(tmp_path):
    first = features(["rose", "thorn"], tmp_path / "cache")
    assert np.array_equal(features(["rose", "thorn"], tmp_path / "cache"), first)
    assert CALLS == [2]
    assert np.array_equal(first, [[4, 2], [5, 1]])


@pytest.mark.parametrize("other", [["rose", "thorns"], ["thorn", "rose"], ["ro", "sethorn"], ["rose", "thorn", ""]])
def test_other_texts_are_another_entry(tmp_path, other):
    features(["rose", "thorn"], tmp_path)
    assert len(features(other, tmp_path)) == len(other)
    assert [2, len(other)] == CALLS


def test_another_encoder_is_another_entry_and_another_width_is_not(tmp_path):
    whole = features(["rose", "thorn"], tmp_path)
    features(["rose", "thorn"], tmp_path, option=1)
    assert np.array_equal(features(["rose", "thorn"], tmp_path, feature_dim=5), whole)
    assert CALLS == [2, 2]


def test_a_failed_encoding_leaves_nothing_in_the_cache(tmp_path):
    tfidf = ItemModelConfig(features=FEATURE_ENCODERS.parse({"name": "tfidf"}))
    with pytest.raises(DataError, match="the item texts hold no words"):
        catalogue_features(["", "  "], tfidf, tmp_path / "cache", lambda done, total: None)
    assert not list(tmp_path.rglob("*.npy"))


def test_no_features_are_none(tmp_path):
    assert catalogue_features(["a"], ItemModelConfig(), tmp_path, lambda done, total: None) is None


def test_a_model_without_features_needs_no_text(tmp_path):
    ids = StringColumn.of(["a", "b"])
    catalog = Catalog(item_ids=ids, fields={}, numbers={}, first_seen=np.zeros(2, dtype=np.int64))
    quiet = lambda done, total: None  # noqa: E731
    assert features_of(catalog, None, ItemModelConfig(), tmp_path, quiet) is None
    with pytest.raises(DataError, match="names the field 'title'"):
        features_of(catalog, "{title}", ItemModelConfig(), tmp_path, quiet)
    with pytest.raises(DataError, match="names the field 'title'"):
        features_of(catalog, None, ItemModelConfig(features={"name": "tfidf"}), tmp_path, quiet)
