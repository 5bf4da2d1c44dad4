"""Texts that are no item's are read as if they were: whatever the encoder, its reduction or its tower."""

import numpy as np
import pytest
import torch

from everbloom.config import ItemModelConfig, ModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError
from everbloom.methods import FEATURE_ENCODERS
from everbloom.models.features.catalogue import catalogue_features
from everbloom.models.features.template import text_fields
from everbloom.models.other_texts import read_texts, texts_without_fields
from everbloom.models.recommender import Recommender, build_recommender
from everbloom.models.settled import settled
from everbloom.models.towers.states import item_states

TITLES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("bag", "lamp", "mug", "box")]
GENRES = ["kitchen", "garden", ""] * 4
TEMPLATE = "{title}. {genres}"
SMALL_BERT = {
    "name": "lm",
    "model": {
        "config": "bert",
        "options": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
    },
}
MODELS = {
    "tfidf": {"features": {"name": "tfidf"}},
    "reduced": {"features": {"name": "tfidf"}, "feature_dim": 5},
    "lm": {"features": SMALL_BERT, "feature_dim": 6},
    "tower": {"features": SMALL_BERT, "tower": {"layers": 1}},
    "reduced tower": {"features": SMALL_BERT, "feature_dim": 6, "tower": {"layers": 1}},
}


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def catalog() -> Catalog:
    fields = {"title": StringColumn.of(TITLES), "genres": StringColumn.of(GENRES)}
    return Catalog(StringColumn.of(map(str, range(12))), fields, {}, np.zeros(12, dtype=np.int64))


def model_of(kind: str, catalog: Catalog, cache) -> tuple[Recommender, ItemModelConfig]:
    """With parameters of every kind, moved away from where they start."""
    user = {"layers": 1, "heads": 2, "history": 5, "dropout": 0.0}
    config = ModelConfig.model_validate({"dim": 8, "items": MODELS[kind], "user": user, "content": {}})
    features = catalogue_features(catalog.texts(TEMPLATE), config.items, cache, silent)
    states = item_states(catalog, TEMPLATE, config.items, cache, silent)
    model = build_recommender(12, features, config, 1, states).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, config.items


@pytest.mark.parametrize("name", FEATURE_ENCODERS.names())
def test_other_texts_are_encoded_as_if_they_were_in_the_catalogue(name):
    encoder = ItemModelConfig.model_validate({"features": {"name": name}}).features
    whole = encoder.encode(TITLES, silent)
    np.testing.assert_allclose(encoder.encode_within(TITLES, TITLES[2:5], silent), whole[2:5], atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_the_text_of_an_item_reads_as_the_item(catalog, tmp_path, kind):
    model, config = model_of(kind, catalog, tmp_path)
    texts = catalog.texts(TEMPLATE)
    found = read_texts(model, config, texts, texts[3:6], tmp_path, silent)
    torch.testing.assert_close(found.read, settled(model).item.features[3:6], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.unit, model.content.features[3:6], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", MODELS)
def test_a_settled_model_has_the_same_item_vectors(catalog, tmp_path, kind):
    model, _ = model_of(kind, catalog, tmp_path)
    other = settled(model)
    assert other.item.tower is None
    with torch.no_grad():
        for one, same in zip(other.catalogue(), model.catalogue(), strict=True):
            torch.testing.assert_close(one, same, atol=1e-5, rtol=0)
        other.item.embedding.weight.zero_()
    assert model.item.embedding.weight.any()  # a copy
    assert ("tower" in kind) == (model.item.tower is not None)


@pytest.mark.parametrize("kind", MODELS)
def test_each_field_in_turn(catalog, tmp_path, kind):
    model, config = model_of(kind, catalog, tmp_path)
    without = texts_without_fields(model, config, catalog, TEMPLATE, tmp_path, silent)
    assert list(without) == ["title", "genres"]
    whole = settled(model).item.features
    same = torch.tensor([GENRES[item] == "" for item in range(12)])
    torch.testing.assert_close(without["genres"].read[same], whole[same], atol=1e-5, rtol=0)
    assert ((without["genres"].read - whole).abs().amax(dim=1)[~same] > 1e-4).all()
    assert without["title"].read.shape == whole.shape


def test_they_are_computed_once(catalog, tmp_path, monkeypatch):
    model, config = model_of("tfidf", catalog, tmp_path)
    first = texts_without_fields(model, config, catalog, TEMPLATE, tmp_path, silent)
    monkeypatch.setattr(type(config.features), "encode_within", lambda *_: pytest.fail("encoded again"))
    again = texts_without_fields(model, config, catalog, TEMPLATE, tmp_path, silent)
    for field, texts in first.items():
        assert torch.equal(texts.read, again[field].read)


def test_the_cache_keeps_what_texts_are_among(tmp_path):
    """The same texts by themselves and among others are two entries."""
    config = ItemModelConfig.model_validate(MODELS["tfidf"])
    alone = catalogue_features(TITLES[:6], config, tmp_path, silent)
    among = catalogue_features(TITLES[:6], config, tmp_path, silent, within=TITLES)
    assert alone.shape != among.shape
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_nothing_is_left_of_one_field(catalog, tmp_path):
    model, config = model_of("tfidf", catalog, tmp_path)
    assert texts_without_fields(model, config, catalog, "{title}", tmp_path, silent) == {}
    assert texts_without_fields(model, config, catalog, None, tmp_path, silent) == {}
    assert texts_without_fields(model, ItemModelConfig(), catalog, TEMPLATE, tmp_path, silent) == {}
    assert text_fields("{title} {genres}: {title}") == ["title", "genres"]


def test_a_model_without_texts_reads_none(catalog, tmp_path):
    model, _ = model_of("tfidf", catalog, tmp_path)
    with pytest.raises(ConfigError, match="knows items by their numbers alone and reads no words"):
        read_texts(model, ItemModelConfig(), TITLES, ["red"], tmp_path, silent)
