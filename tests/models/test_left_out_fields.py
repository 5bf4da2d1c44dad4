"""Features of texts with a field left out lie in the space of the whole texts, and are computed once."""

import numpy as np
import pytest

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.methods import FEATURE_ENCODERS
from everbloom.models.features.catalogue import catalogue_features
from everbloom.models.features.left_out import features_without_fields, text_fields
from everbloom.models.features.reduction import principal_components, project_like

TITLES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("bag", "lamp", "mug", "box")]
GENRES = ["kitchen", "garden", ""] * 4


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def catalog() -> Catalog:
    fields = {"title": StringColumn.of(TITLES), "genres": StringColumn.of(GENRES)}
    return Catalog(StringColumn.of(map(str, range(12))), fields, {}, np.zeros(12, dtype=np.int64))


def config(name: str) -> ItemModelConfig:
    return ItemModelConfig.model_validate({"features": {"name": name}})


@pytest.mark.parametrize("name", FEATURE_ENCODERS.names())
def test_other_texts_are_encoded_as_if_they_were_in_the_catalogue(name):
    encoder = config(name).features
    whole = encoder.encode(TITLES, silent)
    np.testing.assert_allclose(encoder.encode_within(TITLES, TITLES[2:5], silent), whole[2:5], atol=1e-5)


@pytest.mark.parametrize("name", FEATURE_ENCODERS.names())
def test_each_field_in_turn(catalog, tmp_path, name):
    without = features_without_fields(catalog, "{title}. {genres}", config(name), tmp_path, silent)
    assert list(without) == ["title", "genres"]
    whole = catalogue_features(catalog.texts("{title}. {genres}"), config(name), tmp_path, silent)
    same = [GENRES[item] == "" for item in range(12)]
    np.testing.assert_allclose(without["genres"][same], whole[same], atol=1e-5)
    assert (np.abs(without["genres"] - whole).max(axis=1)[~np.array(same)] > 1e-3).all()
    assert without["title"].shape == whole.shape


def test_they_are_computed_once(catalog, tmp_path, monkeypatch):
    first = features_without_fields(catalog, "{title}. {genres}", config("tfidf"), tmp_path, silent)
    encoder = type(config("tfidf").features)
    monkeypatch.setattr(encoder, "encode_within", lambda *_: pytest.fail("encoded again"))
    again = features_without_fields(catalog, "{title}. {genres}", config("tfidf"), tmp_path, silent)
    for field, features in first.items():
        np.testing.assert_array_equal(features, again[field])


def test_the_cache_keeps_what_texts_are_among(tmp_path):
    """The same texts by themselves and among others are two entries."""
    alone = catalogue_features(TITLES[:6], config("tfidf"), tmp_path, silent)
    among = catalogue_features(TITLES[:6], config("tfidf"), tmp_path, silent, within=TITLES)
    assert alone.shape != among.shape
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_nothing_is_left_of_one_field(catalog, tmp_path):
    assert features_without_fields(catalog, "{title}", config("tfidf"), tmp_path, silent) == {}
    assert features_without_fields(catalog, None, config("tfidf"), tmp_path, silent) == {}
    assert features_without_fields(catalog, "{title} {genres}", ItemModelConfig(), tmp_path, silent) == {}
    assert text_fields("{title} {genres}: {title}") == ["title", "genres"]


@pytest.mark.parametrize("dims", [3, 20, None])
def test_other_features_on_a_catalogues_axes(dims):
    features = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    projected = project_like(features, dims, features[4:9])
    expected = features if dims is None else principal_components(features, dims)
    np.testing.assert_allclose(projected, expected[4:9], atol=1e-6)
