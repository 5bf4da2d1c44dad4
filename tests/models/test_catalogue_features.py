"""Frozen features: computed once for a catalogue's texts, and reduced reproducibly."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from everbloom.config import ItemModelConfig
from everbloom.errors import DataError
from everbloom.methods import FEATURE_ENCODERS, FeatureEncoder
from everbloom.models.features.catalogue import catalogue_features, principal_components

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
    features(["rose", "thorn"], tmp_path)
    features(["rose", "thorn"], tmp_path, option=1)
    assert features(["rose", "thorn"], tmp_path, feature_dim=5).shape == (2, 5)
    assert CALLS == [2, 2]


def test_a_failed_encoding_leaves_nothing_in_the_cache(tmp_path):
    tfidf = ItemModelConfig(features=FEATURE_ENCODERS.parse({"name": "tfidf"}))
    with pytest.raises(DataError, match="the item texts hold no words"):
        catalogue_features(["", "  "], tfidf, tmp_path / "cache", lambda done, total: None)
    assert not list(tmp_path.rglob("*.npy"))


def test_no_features_are_none(tmp_path):
    assert catalogue_features(["a"], ItemModelConfig(), tmp_path, lambda done, total: None) is None


def test_principal_components_are_whitened_directions_of_unit_length():
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) + 3).astype(np.float32)
    found = principal_components(data, 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    left, _, _ = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    expected = left[:, :4] / np.linalg.norm(left[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


def test_more_axes_than_there_are_stay_zero():
    data = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    found = principal_components(data, 5)
    assert found.shape == (20, 5)
    assert not found[:, 3:].any()


def test_signs_are_fixed():
    data = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    shuffled = np.random.default_rng(1).permutation(50)
    np.testing.assert_allclose(
        principal_components(data[shuffled], 2), principal_components(data, 2)[shuffled], atol=1e-4
    )


def test_equal_items_are_no_division_by_zero():
    assert np.isfinite(principal_components(np.ones((5, 3), dtype=np.float32), 2)).all()
