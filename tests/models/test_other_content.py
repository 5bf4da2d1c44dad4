"""Content that is no item's is read as if it were: whatever the encoder, its reduction, its tower and the other modalities."""

import numpy as np
import pytest
import torch

from everbloom.config import ItemModelConfig, ModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError
from everbloom.explanations.parts import parts_of
from everbloom.methods import FEATURE_ENCODERS
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.catalogue import catalogue_features, features_of
from everbloom.models.features.template import text_fields
from everbloom.models.other_content import OtherContent, TextReader, without_modalities
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
MODALITIES = {"text": {"encoder": {"name": "tfidf"}}, "genres": {"name": "categories", "field": "genres"}}
MODELS = {
    "tfidf": {"features": {"name": "tfidf"}},
    "reduced": {"features": {"name": "tfidf"}, "feature_dim": 5},
    "lm": {"features": SMALL_BERT, "feature_dim": 6},
    "tower": {"features": SMALL_BERT, "tower": {"layers": 1}},
    "reduced tower": {"features": SMALL_BERT, "feature_dim": 6, "tower": {"layers": 1}},
    "gated": {"modalities": MODALITIES},
    "linear": {"modalities": MODALITIES, "fusion": "linear"},
    "reduced modality": {"modalities": {**MODALITIES, "text": {**MODALITIES["text"], "dims": 4}}},
}
ALONE = ("tfidf", "reduced", "lm", "tower", "reduced tower")
"""Models of one modality."""


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def catalog() -> Catalog:
    fields = {"title": StringColumn.of(TITLES), "genres": StringColumn.of(GENRES)}
    return Catalog(StringColumn.of(map(str, range(12))), fields, {}, np.zeros(12, dtype=np.int64))


def model_of(kind: str, catalog: Catalog, cache) -> tuple[Recommender, ItemModelConfig, ItemFeatures]:
    """With parameters of every kind, moved away from where they start."""
    user = {"layers": 1, "heads": 2, "history": 5, "dropout": 0.0}
    config = ModelConfig.model_validate({"dim": 8, "items": MODELS[kind], "user": user, "content": {}})
    features = features_of(catalog, TEMPLATE, config.items, cache, silent)
    states = item_states(catalog, TEMPLATE, config.items, cache, silent)
    model = build_recommender(12, features, config, 1, states).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, config.items, features


def reader_of(kind: str, catalog: Catalog, cache, template: str | None = TEMPLATE) -> tuple[Recommender, TextReader]:
    model, config, features = model_of(kind, catalog, cache)
    return model, TextReader(model, config, features, catalog, template, cache)


@pytest.mark.parametrize("name", FEATURE_ENCODERS.names())
def test_other_texts_are_encoded_as_if_they_were_in_the_catalogue(name):
    encoder = ItemModelConfig.model_validate({"features": {"name": name}}).features
    whole = encoder.encode(TITLES, silent)
    np.testing.assert_allclose(encoder.encode_within(TITLES, TITLES[2:5], silent), whole[2:5], atol=1e-5)


@pytest.mark.parametrize("kind", ALONE)
def test_the_text_of_an_item_reads_as_the_item(catalog, tmp_path, kind):
    model, reader = reader_of(kind, catalog, tmp_path)
    found = reader.read(catalog.texts(TEMPLATE)[3:6], silent)
    torch.testing.assert_close(found.read, settled(model).item.features[3:6], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.unit, model.content.features[3:6], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", set(MODELS) - set(ALONE))
def test_of_several_modalities_a_text_is_the_one(catalog, tmp_path, kind):
    """As an item that has nothing else: the block of the text alone, as long as ever."""
    model, reader = reader_of(kind, catalog, tmp_path)
    found = reader.read(catalog.texts(TEMPLATE)[3:6], silent)
    width = reader.features.widths[0]
    block = torch.from_numpy(reader.features.matrix[3:6, :width])
    torch.testing.assert_close(found.read[:, :width], block, atol=1e-5, rtol=0)
    assert not found.read[:, width:].any()
    torch.testing.assert_close(found.unit.norm(dim=1), torch.ones(3))
    assert (found.present is not None) == (model.item.fusion is not None)


@pytest.mark.parametrize("kind", MODELS)
def test_a_settled_model_has_the_same_item_vectors(catalog, tmp_path, kind):
    model, _, _ = model_of(kind, catalog, tmp_path)
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
    model, reader = reader_of(kind, catalog, tmp_path)
    without = reader.without_fields(silent)
    assert list(without) == ["field:title", "field:genres"]
    whole = OtherContent.of(model, reader.features)
    read = settled(model).item.features
    same = torch.tensor([GENRES[item] == "" for item in range(12)])
    torch.testing.assert_close(without["field:genres"].read[same], read[same], atol=1e-5, rtol=0)
    assert ((without["field:genres"].read - read).abs().amax(dim=1)[~same] > 1e-4).all()
    torch.testing.assert_close(without["field:genres"].unit[same], whole.unit[same], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["gated", "linear"])
def test_each_modality_in_turn(catalog, tmp_path, kind):
    """The vector without one is that of the fusion of the others; items that lack it stay as they are."""
    model, _, features = model_of(kind, catalog, tmp_path)
    without = without_modalities(model, features)
    assert list(without) == ["modality:text", "modality:genres"]
    names = parts_of(model, without).names
    assert names == ("modality:text", "modality:genres", "content", "collaborative", "popularity")
    vectors = dict(zip(names, parts_of(model, without).catalogues, strict=True))
    lacking = [item for item in range(12) if not GENRES[item]]
    whole = model.catalogue()
    torch.testing.assert_close(vectors["modality:genres"].vectors[lacking], whole.vectors[lacking], atol=1e-5, rtol=0)
    changed = (vectors["modality:text"].vectors - whole.vectors).abs().amax(dim=1)
    assert (changed > 1e-4).all()
    with torch.no_grad():
        bare = vectors["content"].vectors - model.item.embedding.weight * model.item.embedding_scale
    assert bare.abs().max() < 1e-6


def test_one_modality_has_no_parts(catalog, tmp_path):
    model, _, features = model_of("tfidf", catalog, tmp_path)
    assert without_modalities(model, features) == without_modalities(model, None) == {}


def test_they_are_computed_once(catalog, tmp_path, monkeypatch):
    _, reader = reader_of("tfidf", catalog, tmp_path)
    first = reader.without_fields(silent)
    monkeypatch.setattr(type(reader.encoder), "encode_within", lambda *_: pytest.fail("encoded again"))
    again = reader.without_fields(silent)
    for field, content in first.items():
        assert torch.equal(content.read, again[field].read)


def test_the_cache_keeps_what_texts_are_among(tmp_path):
    """The same texts by themselves and among others are two entries."""
    config = ItemModelConfig.model_validate(MODELS["tfidf"])
    alone = catalogue_features(TITLES[:6], config, tmp_path, silent)
    among = catalogue_features(TITLES[:6], config, tmp_path, silent, within=TITLES)
    assert alone.shape != among.shape
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_nothing_is_left_of_one_field(catalog, tmp_path):
    assert reader_of("tfidf", catalog, tmp_path, "{title}")[1].without_fields(silent) == {}
    assert reader_of("tfidf", catalog, tmp_path, None)[1].without_fields(silent) == {}
    assert text_fields("{title} {genres}: {title}") == ["title", "genres"]


def test_a_model_without_texts_reads_none(catalog, tmp_path):
    model, _, features = model_of("tfidf", catalog, tmp_path)
    for config, known in ((ItemModelConfig(), features), (ItemModelConfig.model_validate(MODELS["tfidf"]), None)):
        with pytest.raises(ConfigError, match="knows items by their numbers alone and reads no words"):
            TextReader(model, config, known, catalog, TEMPLATE, tmp_path)
