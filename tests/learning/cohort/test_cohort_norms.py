"""Norms that are never written out, against gradients that are: autograd, one example at a time."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from everbloom.config import ItemModelConfig
from everbloom.learning.cohort import item_norms, norms
from everbloom.learning.cohort.batches import Cohort, make_batch, units_of
from everbloom.learning.cohort.layers import Tap
from everbloom.learning.examples import Examples
from everbloom.models.items import ItemEncoder

LAYERS = {
    "linear": lambda: nn.Linear(8, 9),
    "no bias": lambda: nn.Linear(8, 9, bias=False),
    "one out": lambda: nn.Linear(8, 1, bias=False),
    "norm": lambda: nn.LayerNorm(8),
    "table": lambda: nn.Embedding(6, 8),
}
EXAMPLES = 6


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def met_by(layer, rows):
    """(what a layer is given, what its parameters meet)."""
    if isinstance(layer, nn.Embedding):
        index = (randn(EXAMPLES, rows) * 10).long() % 6
        return index, index
    given = randn(EXAMPLES, rows, 8)
    return given, nn.functional.layer_norm(given, (8,)) if isinstance(layer, nn.LayerNorm) else given


def one_by_one(layer, given, back):
    """Parameter -> [examples, *shape]."""
    rows = [
        torch.autograd.grad((layer(given[row : row + 1]) * back[row : row + 1]).sum(), list(layer.parameters()))
        for row in range(len(given))
    ]
    return {
        name: torch.stack(parts)
        for (name, _), parts in zip(layer.named_parameters(), zip(*rows, strict=True), strict=True)
    }


def squared(gradients):
    return sum(value.flatten(1).square().sum(dim=1) for value in gradients.values())


@pytest.mark.parametrize("rows", [1, 2, 3, 40])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind, rows):
    """Few rows: from products of rows; many: from the gradient's entries."""
    layer = seeded(LAYERS[kind])
    given, met = met_by(layer, rows)
    back = randn(*layer(given).shape)
    use, expected = norms.Use(met, back), one_by_one(layer, given, back)
    torch.testing.assert_close(norms.squared_norm(layer, use), squared(expected), rtol=2e-5, atol=1e-6)
    factor = torch.rand(EXAMPLES, generator=torch.Generator().manual_seed(1))
    whole = norms.weighted_gradient(layer, use, factor, None)
    groups = norms.weighted_gradient(layer, use, factor, 3)
    assert set(whole) == set(groups) == set(expected)
    for name, gradients in expected.items():
        weighted = gradients * factor.view(-1, *[1] * (gradients.dim() - 1))
        torch.testing.assert_close(whole[name], weighted.sum(dim=0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(groups[name], weighted.unflatten(0, (3, 2)).sum(dim=1), rtol=1e-5, atol=1e-5)


def test_a_layer_used_twice_has_one_gradient():
    """Norms of sums are not sums of norms; what the loss does not depend on adds nothing."""
    layer = seeded(LAYERS["linear"])
    one, two, unused = randn(EXAMPLES, 3, 8), randn(EXAMPLES, 2, 2, 8), randn(EXAMPLES, 1, 8)
    backs = [randn(EXAMPLES, 3, 9), randn(EXAMPLES, 2, 2, 9), None]
    taps = [Tap("it", met, layer(met)) for met in (one, two, unused)]
    uses = norms.uses_of(taps, backs, EXAMPLES)
    given = torch.cat([one, two.flatten(1, 2)], dim=1)
    expected = one_by_one(layer, given, torch.cat([backs[0], backs[1].flatten(1, 2)], dim=1))
    torch.testing.assert_close(norms.squared_norm(layer, uses["it"]), squared(expected), rtol=2e-5, atol=1e-6)


def test_no_rule_no_norm():
    with pytest.raises(TypeError, match="Bilinear"):
        norms.squared_norm(nn.Bilinear(1, 1, 1), norms.Use(randn(1, 1, 1), randn(1, 1, 1)))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_square_is_never_negative(rows, seed, kept):
    """Rows that cancel: what is left of the products is rounding, of either sign, and a root of less than nothing would be no number."""
    drawn = torch.Generator().manual_seed(seed)
    left, right = (torch.randn((5, rows, 40), generator=drawn) for _ in range(2))
    cancelling = norms.product_norm(
        torch.cat([left, -left * (1 - kept * 1e-4)], dim=1), torch.cat([right, right], dim=1)
    )
    assert (cancelling >= 0).all()


# ---- the item encoder

POSITIONS, NEGATIVES, CATALOGUE = 5, 6, 12
ENCODERS = {
    "embedding": (None, {}),
    "features": (7, {"embedding": False, "bias": "features", "bias_scale": 3.0}),
    "no bias": (7, {"embedding": False, "bias": "none"}),
    "both": (7, {"bias": "item", "bias_scale": 0.5, "embedding_scale": 3.0}),
    "both, features' bias": (7, {"bias": "features"}),
    "wide": (60, {"bias": "features"}),
}
"""(width of the features, [model.items]); with wide ones, products of rows are fewer than the adapter's entries."""


def encoder_of(name, dim):
    width, table = ENCODERS[name]
    features = None if width is None else randn(CATALOGUE, width)
    model = {"features": {"name": "tfidf"}} if width else {}
    return seeded(lambda: ItemEncoder(CATALOGUE, dim, features, ItemModelConfig.model_validate({**model, **table})))


def batch_of(each, repeats, padded):
    """Two clients with so many examples each; `padded`: one has one more."""
    rng = np.random.default_rng(each)
    counts = np.array([each, each + padded])
    count = int(counts.sum())
    real = np.arange(POSITIONS) < rng.integers(1, POSITIONS + 1, count)[:, None]
    items = rng.integers(0, CATALOGUE, (count, POSITIONS))
    if not repeats:
        items = np.argsort(rng.random((count, CATALOGUE)), axis=1)[:, :POSITIONS]
    negatives = rng.integers(0, CATALOGUE, (2, NEGATIVES))
    if not repeats:
        negatives = np.argsort(rng.random((2, CATALOGUE)), axis=1)[:, :NEGATIVES]
    place = torch.arange(POSITIONS).expand(count, -1)
    examples = Examples(
        torch.from_numpy(np.where(real, items, 0)), torch.zeros((count, POSITIONS), dtype=torch.int64),
        torch.from_numpy(real), torch.from_numpy(real.astype(np.float32)), place,
        torch.zeros((count, POSITIONS), dtype=torch.int64),
    )  # fmt: skip
    cohort = Cohort(examples, counts, torch.from_numpy(negatives), np.zeros(2, dtype=np.uint64))
    units = units_of(cohort, np.arange(count), None)
    return make_batch(cohort, units, np.arange(2), None, CATALOGUE)


def gradients_of(batch, dim, scored):
    """Random ones, nothing in masked columns. `scored`: of a bilinear score, or None for a vector of each negative."""
    count, positions = batch.examples.items.shape
    masked = batch.candidates.masked[:, 0]
    real, usable = batch.examples.real, ~masked[:, positions:]
    own, own_bias = randn(count, positions, dim) * real.unsqueeze(2), randn(count, positions) * real
    k = usable.shape[1]
    if scored is None:
        other = randn(count, k, dim) * usable.unsqueeze(2)
        bias = randn(count, k) * usable
        return item_norms.of_vectors(own, own_bias, other, bias), other, bias
    scores, users = randn(count, scored, k) * usable.unsqueeze(1), randn(count, scored, dim)
    return item_norms.of_product(own, own_bias, users, scores), scores.transpose(1, 2) @ users, scores.sum(dim=1)


@pytest.mark.parametrize("scored", [1, POSITIONS, None])
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(("each", "dim"), [(1, 4), (2, 40), (12, 4), (12, 40)])
@pytest.mark.parametrize("name", ENCODERS)
def test_items(name, each, dim, repeats, scored):
    """Few examples and many that share their items; items twice and once; padded units; rank one, several, and no product at all."""
    encoder = encoder_of(name, dim)
    for padded in (False, True):
        batch = batch_of(each, repeats, padded)
        given, other, other_bias = gradients_of(batch, dim, scored)
        found = item_norms.squared_norm(encoder, batch, given)
        for row in range(len(batch.rows)):
            own = encoder(batch.examples.items[row])
            negatives = encoder(batch.negatives[row // (len(batch.rows) // 2)])
            parts = [*own, *negatives]
            backs = [given.own[row], given.own_bias[row], other[row], other_bias[row]]
            total = sum((part * back).sum() for part, back in zip(parts, backs, strict=True))
            gradients = torch.autograd.grad(total, list(encoder.parameters()))
            assert float(found[row]) == pytest.approx(sum(float(g.square().sum()) for g in gradients), rel=5e-5)


# ---- what an example contributes


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["both", "mlp", "wide", "content"]), st.sampled_from(["windows", "next-item"]),
    st.integers(0, 10**6), st.integers(1, 6), st.floats(0, 100), st.floats(1e-3, 10),
)  # fmt: skip
def test_no_example_moves_the_sum_by_more_than_the_clip_norm(case_of, make_plan, name, kind, seed, count, scale, clip):
    """Whatever the parameters: alone its gradient is clipped to the norm that it has, however much in it cancels; beside others, where
    another batch is not rounded otherwise, it moves the sum by no more."""
    plan = make_plan(noise_multiplier=1e-12, clip_norm=clip, denominator=1.0)
    case = case_of(name, (count,), kind, plan, seed=seed, learning_rate=1.0)
    start, limit = case.start * np.float32(scale), case.plan.clip_norm * (1 + 1e-4)
    examples, engine = case.examples(0), case.engine()

    def total(rows):
        kept = dataclasses.replace(
            case.cohort, examples=examples.take(torch.tensor(rows, dtype=torch.int64)), counts=np.array([len(rows)])
        )
        return engine.total(start, kept).deltas

    assert np.linalg.norm(total([0])) <= limit
    if scale <= 2:
        rounding = 1e-6 * count * case.plan.clip_norm
        everybody = list(range(count))
        assert np.linalg.norm(total(everybody) - total(everybody[1:])) <= limit + rounding
