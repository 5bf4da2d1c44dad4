"""Several modalities in one vector: where gates start, what they learn, and that nothing shrinks for what is missing."""

import numpy as np
import pytest
import torch

from everbloom.config import ModelConfig
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.fusion import GatedFusion
from everbloom.models.recommender import build_recommender

ITEMS = 30


@pytest.fixture
def features() -> ItemFeatures:
    rng = np.random.default_rng(0)
    text, price = rng.normal(size=(ITEMS, 12)), rng.normal(size=(ITEMS, 2))
    price[:10] = np.nan
    text[5] = np.nan  # item 5 has nothing at all
    text[29] = np.nan
    return ItemFeatures.joined({"text": (text.astype(np.float32), 1.0), "price": (price.astype(np.float32), 0.5)})


def model(features: ItemFeatures, fusion: str, dim: int = 16):
    tables = {
        "dim": dim,
        "items": {
            "modalities": {"text": {"encoder": "tfidf"}, "price": {"name": "numbers", "fields": ["price"]}},
            "fusion": fusion,
            "embedding": False,
            "bias": "none",
        },
    }
    return build_recommender(ITEMS, features, ModelConfig.model_validate(tables), seed=1)


def test_untrained_gates_make_one_linear_adapter(features):
    gated, linear = model(features, "gated"), model(features, "linear")
    assert gated.item.adapter is None
    assert linear.item.fusion is None
    whole = torch.cat([adapter.weight for adapter in gated.item.fusion.adapters], dim=1)
    with torch.no_grad():
        linear.item.adapter.weight.copy_(whole)
    np.testing.assert_allclose(gated.catalogue().vectors.detach(), linear.catalogue().vectors.detach(), atol=1e-6)


def test_gates_have_unit_length_and_none_for_what_is_missing(features):
    fusion = GatedFusion(features, 16)
    with torch.no_grad():
        fusion.gate.weight.normal_()
        fusion.gate.bias.normal_()
    gates = fusion.gates(torch.arange(ITEMS)).detach().numpy()
    length = np.linalg.norm(gates, axis=1)
    np.testing.assert_allclose(np.delete(length, 5), 1, rtol=1e-5)
    assert length[5] == 0
    assert not gates[:10, 1].any()
    assert gates[29].tolist() == [0, 1]
    assert len(np.unique(gates[10:29, 0])) == 19  # they depend on the item
    assert np.isfinite(gates).all()


def test_an_item_without_a_modality_has_a_vector_of_the_usual_length(features):
    vectors = model(features, "gated", dim=64).catalogue().vectors.detach()
    length = vectors.norm(dim=1).numpy()
    assert length[5] == 0
    np.testing.assert_allclose(np.delete(length, 5), 1, rtol=0.02)


def test_extreme_gates_and_an_item_without_anything_have_finite_gradients(features):
    fusion = GatedFusion(features, 16)
    with torch.no_grad():
        fusion.gate.bias.copy_(torch.tensor([200.0, -200.0]))
    vectors = fusion(torch.arange(ITEMS))
    vectors.square().sum().backward()
    assert torch.isfinite(vectors).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in fusion.parameters())


def test_gates_learn_which_modality_tells(features):
    """A target that is made of one modality alone: its gate wins."""
    torch.manual_seed(0)
    fusion = GatedFusion(features, 8)
    there = torch.arange(10, 29)
    with torch.no_grad():
        text = fusion.features[there][:, :12]
        wanted = text @ fusion.adapters[0].weight.T
    optimizer = torch.optim.SGD(fusion.parameters(), lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        (fusion(there) - wanted).square().mean().backward()
        optimizer.step()
    gates = fusion.gates(there).detach()
    assert (gates[:, 0] > gates[:, 1] * 1.5).all()
