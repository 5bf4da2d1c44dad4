"""The model: what a position may read, that training and ranking score alike, and the parts of the score."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from everbloom.config import ModelConfig
from everbloom.data.events import BEHAVIOURS
from everbloom.data.gaps import GAP_CODES
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.recommender import Recommender, build_recommender, layout_of
from everbloom.models.users import Circumstances

ITEMS = 15
SEARCHES = 4
MODALITIES = {"text": {"encoder": "lm"}, "numbers": {"fields": ["price"]}}
VARIANTS = {
    "embedding": {},
    "features": {"items": {"features": {"name": "tfidf"}, "embedding": False, "bias": "features"}},
    "both": {"items": {"features": {"name": "tfidf"}}},
    "no-bias": {"items": {"bias": "none"}},
    "behaviours": {"user": {"behaviours": True}},
    "gaps": {"user": {"gaps": True}},
    "searches": {"items": {"features": {"name": "lm"}}, "user": {"searches": True}},
    "modalities": {"items": {"modalities": MODALITIES, "fusion": "linear", "bias": "features"}},
    "gated": {"items": {"modalities": MODALITIES}},
    "gated-searches": {"items": {"modalities": MODALITIES}, "user": {"searches": True}},
    "personal": {"user": {"personal": True}},
    "mlp": {"score": "mlp"},
    "deep": {"user": {"layers": 2}},
    "flat": {"user": {"layers": 0}},
    "lean": {"items": {"bias_scale": 3.0}, "user": {"feedforward": 0, "scale": 0.5}},
    "content": {"items": {"features": {"name": "tfidf"}}, "content": {"lags": 3}},
    "fixed-items": {
        "items": {"features": {"name": "tfidf"}, "embedding": False, "bias": "none", "train_adapter": False}
    },
    "prior": {"prior": {}},
    "cooccurrence": {"cooccurrence": {"window": 2, "recent": 3}},
    "hybrid": {
        "items": {"features": {"name": "tfidf"}},
        "content": {"lags": 3},
        "prior": {"learn": False},
        "cooccurrence": {"sharpness": 2.0, "decay": 0.7},
    },
    "content-alone": {
        "items": {"features": {"name": "tfidf"}, "feature_dim": 2, "bias": "features"},
        "content": {"lags": 9},
    },
}


def model_of(variant: str = "both", **tables: object) -> Recommender:
    given = {"dim": 8, **VARIANTS[variant], **tables}
    given["user"] = {"layers": 1, "heads": 2, "history": 6, "feedforward": 2, "dropout": 0.0, **given.get("user", {})}
    config = ModelConfig.model_validate(given)
    model = build_recommender(ITEMS, features_for(config), config, seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():  # a fresh model's residual branches are zero: they would hide a mistake
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def features_for(config: ModelConfig) -> ItemFeatures | None:
    """As wide as each other's; where there are two modalities some items lack the second."""
    draw = np.random.default_rng(0)
    text, searches = (draw.normal(size=(rows, 5)).astype(np.float32) for rows in (ITEMS, SEARCHES))
    if not config.items.described:
        return None
    features = ItemFeatures.of(text)
    if config.items.modalities:
        price = draw.normal(size=(ITEMS, 2)).astype(np.float32)
        price[::3] = np.nan
        features = ItemFeatures.joined({"text": (text, 1.0), "numbers": (price, 0.7)})
    return replace(features, searches=searches) if config.user.searches else features


def batch(rows: int = 3, width: int = 6, seed: int = 3) -> tuple[torch.Tensor, Circumstances]:
    draw = torch.Generator().manual_seed(seed)
    ranges = (ITEMS, len(BEHAVIOURS), GAP_CODES, SEARCHES + 1)
    items, behaviour, gap, search = (torch.randint(most, (rows, width), generator=draw) for most in ranges)
    return items, Circumstances(behaviour, gap, search)


def part_of(beside: Circumstances, rows: slice = slice(None), events: int = 6) -> Circumstances:
    """Some rows; the first events, and the gap after the last of them."""
    assert beside.gap is not None
    assert beside.search is not None
    return Circumstances(
        beside.behaviour[rows, :events], beside.gap[rows, : events + 1], beside.search[rows, : events + 1]
    )


def other_behaviour(beside: Circumstances) -> Circumstances:
    return beside._replace(behaviour=(beside.behaviour + 1) % len(BEHAVIOURS))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_position_reads_what_comes_before_it_and_nothing_else(variant):
    """Changing the item at t changes no score of earlier positions (its own included), and does change later ones."""
    model = model_of(variant)
    items, beside = batch()
    negatives = torch.tensor([[1, 2, 3]])
    before = model(items, beside, negatives)[..., 6:]
    for place in range(6):
        changed, other = items.clone(), beside._replace(behaviour=beside.behaviour.clone())
        changed[:, place] = (changed[:, place] + 1) % ITEMS
        other.behaviour[:, place] = (other.behaviour[:, place] + 1) % len(BEHAVIOURS)
        after = model(changed, other, negatives)[..., 6:]
        assert torch.equal(after[:, : place + 1], before[:, : place + 1])
        if place < 5:
            assert not torch.allclose(after[:, place + 1], before[:, place + 1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing_before_it(variant):
    model = model_of(variant)
    items, beside = batch()
    negatives = torch.tensor([[1, 2, 3]])
    short = model(items[:, :4], part_of(beside, events=4), negatives)
    padded = torch.cat([items[:, :4], torch.zeros((3, 2), dtype=torch.int64)], dim=1)
    filled = (torch.cat([codes[:, :4], torch.ones((3, 2), dtype=torch.int64)], dim=1) for codes in beside[:3])
    long = model(padded, Circumstances(*filled), negatives)
    torch.testing.assert_close(long[:, :4, [0, 1, 2, 3, 6, 7, 8]], short)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_and_ranking_give_the_same_scores(variant):
    """`forward` at position t = the ranking of the catalogue after the first t events."""
    model = model_of(variant)
    items, beside = batch()
    everything = torch.arange(ITEMS).unsqueeze(0)
    trained = model(items, beside, everything)
    for length in range(6):
        ranked = model.rank_catalogue(items[:, :5], beside, torch.full((3,), length), model.catalogue())
        torch.testing.assert_close(trained[:, length, 6:], ranked)
        torch.testing.assert_close(trained[:, length, :6], torch.gather(ranked, 1, items))


@pytest.mark.parametrize("variant", VARIANTS)
def test_scoring_some_positions_gives_their_scores_among_all(variant):
    model = model_of(variant)
    items, beside = batch()
    negatives = torch.tensor([[1, 2, 3]])
    place = torch.tensor([[5], [0], [3]])
    found = model(items, beside, negatives, place)
    every = model(items, beside, negatives)
    assert found.shape == (3, 1, 9)
    torch.testing.assert_close(found[:, 0], every[torch.arange(3), place[:, 0]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_length_of_a_history_is_each_users_own(variant):
    model = model_of(variant)
    items, beside = batch()
    together = model.rank_catalogue(items[:, :5], beside, torch.tensor([0, 2, 5]), model.catalogue())
    for row, length in enumerate((0, 2, 5)):
        read = items[row : row + 1, :length], part_of(beside, slice(row, row + 1), length)
        alone = model.rank_catalogue(*read, torch.tensor([length]), model.catalogue())
        torch.testing.assert_close(together[row], alone[0])


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_negatives_shared_or_one_copy_an_example_score_alike(variant, shared):
    model = model_of(variant)
    items, beside = batch()
    negatives = torch.tensor([[4, 4, 9]])
    given = negatives if shared else negatives.expand(3, -1)
    torch.testing.assert_close(model(items, beside, given), model(items, beside, negatives.repeat(3, 1)))


@pytest.mark.parametrize("scored", ["all", "some"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_grouped_negatives_score_as_each_group_alone(variant, scored):
    """Three clients with two examples each, every client with its own negatives; gradients likewise."""
    model = model_of(variant)
    items, beside = batch(rows=6)
    negatives = torch.tensor([[1, 2, 3, 3], [4, 4, 9, 0], [14, 5, 7, 8]])
    place = torch.tensor([[5], [0], [3], [1], [2], [4]]) if scored == "some" else None
    together = model(items, beside, negatives, place)
    parts = [slice(2 * group, 2 * group + 2) for group in range(3)]
    alone = torch.cat(
        [
            model(
                items[part], part_of(beside, part), negatives[group : group + 1], None if place is None else place[part]
            )
            for group, part in enumerate(parts)
        ]
    )
    torch.testing.assert_close(together, alone)
    towards = torch.randn(together.shape, generator=torch.Generator().manual_seed(4))
    given = [p for p in model.parameters() if p.requires_grad]
    one, other = (
        torch.autograd.grad((scores * towards).sum(), given, allow_unused=True, materialize_grads=True)
        for scores in (together, alone)
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [0, 1])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_example_is_no_score(variant, groups):
    """Poisson sampling draws empty batches."""
    items, beside = batch(rows=0)
    negatives = torch.tensor([[1, 2, 3]]).expand(groups, -1) if groups else torch.zeros((0, 3), dtype=torch.int64)
    assert model_of(variant)(items, beside, negatives).shape == (0, 6, 9)


def test_behaviours_count_only_where_they_are_read():
    items, beside = batch()
    other = other_behaviour(beside)
    negatives = torch.tensor([[1, 2]])
    plain, reading = model_of("both"), model_of("behaviours")
    assert torch.equal(plain(items, beside, negatives), plain(items, other, negatives))
    assert not torch.allclose(reading(items, beside, negatives)[:, 1:], reading(items, other, negatives)[:, 1:])


def test_a_position_knows_how_long_ago_the_event_before_it_was():
    """The gap at t reaches the scores at t, where the item after it is predicted, and no earlier ones; without gaps it is not read."""
    items, beside = batch()
    negatives = torch.tensor([[1, 2]])
    for place in range(6):
        gap = beside.gap.clone()
        gap[:, place] = (gap[:, place] + 1) % GAP_CODES
        other = beside._replace(gap=gap)
        plain, reading = model_of("both"), model_of("gaps")
        assert torch.equal(plain(items, beside, negatives), plain(items, other, negatives))
        before, after = (reading(items, given, negatives)[..., 6:] for given in (beside, other))
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.isclose(before[:, place], after[:, place]).any()


def test_an_offset_is_one_users_alone():
    """Given for each user it stands in the place of the model's own; a fresh one changes nothing, and the shared parameters are the same."""
    model = model_of("personal")
    items, beside = batch()
    offsets = torch.randn((3, 8), generator=torch.Generator().manual_seed(5))
    ranked = model.rank_catalogue(items[:, :5], beside, torch.tensor([0, 2, 5]), model.catalogue(), offsets)
    for row, length in enumerate((0, 2, 5)):
        with torch.no_grad():
            model.personal.weight.copy_(offsets[row : row + 1])
        own = model.rank_catalogue(items[:, :5], beside, torch.full((3,), length), model.catalogue())
        torch.testing.assert_close(ranked[row], own[row])
    plain = build_recommender(ITEMS, None, ModelConfig(dim=8), seed=4)
    fresh = build_recommender(ITEMS, None, ModelConfig.model_validate({"dim": 8, "user": {"personal": True}}), seed=4)
    assert not fresh.personal.weight.any()
    assert np.array_equal(layout_of(fresh).flat(fresh), layout_of(plain).flat(plain))
    assert torch.equal(fresh(items, beside, items[:1]), plain(items, beside, items[:1]))


def test_mlp_score_is_one_hidden_layer_over_the_pair():
    model = model_of("mlp")
    draw = torch.Generator().manual_seed(0)
    users, items, bias = (torch.randn(shape, generator=draw) for shape in ((2, 3, 8), (2, 4, 8), (2, 4)))
    found = model.score(users, items, bias)
    weights = torch.cat([model.score.user.weight, model.score.item.weight], dim=1)
    for b in range(2):
        for t in range(3):
            for c in range(4):
                hidden = torch.nn.functional.gelu(
                    weights @ torch.cat([users[b, t], items[b, c]]) + model.score.user.bias
                )
                expected = model.score.out.weight[0] @ hidden + bias[b, c]
                torch.testing.assert_close(found[b, t, c], expected)


def test_mlp_score_is_personal():
    """Two users order items differently, which W [u, i] without a hidden layer cannot do."""
    model = model_of("mlp")
    vectors, bias = model.item.catalogue()
    users = torch.randn((1, 40, 8), generator=torch.Generator().manual_seed(1))
    best = model.score(users, vectors.unsqueeze(0), bias.unsqueeze(0))[0].argmax(dim=1)
    assert len(set(best.tolist())) > 1


def test_history_of_one_reads_nothing():
    """The only position follows the start token alone: everyone gets the same scores."""
    model = model_of(user={"history": 1, "behaviours": True})
    items, beside = batch(width=1)
    found = model(items, beside, torch.tensor([[1, 2]]))[..., 1:]
    assert torch.equal(found[0], found[1])


def test_an_untrained_text_model_ranks_by_likeness_to_the_last_item():
    """What makes it worth starting under noise: before any training the user vector is about that of the last item."""
    features = np.eye(ITEMS, dtype=np.float32)
    config = ModelConfig.model_validate(
        {
            "dim": 16,
            "items": {"features": {"name": "tfidf"}, "embedding": False},
            "user": {"history": 4, "dropout": 0.0},
        }
    )
    model = build_recommender(ITEMS, features, config, seed=0).eval()
    items = torch.tensor([[2, 7, 5]])
    scores = model.rank_catalogue(items, Circumstances(torch.zeros_like(items)), torch.tensor([3]), model.catalogue())
    assert int(scores.argmax()) == 5


def test_content_match_is_a_weighted_sum_of_cosines():
    """Over the last `lags` events, whatever the rest of the model says."""
    with_content, without = model_of("content"), model_of("both")
    without.load_state_dict({k: v for k, v in with_content.state_dict().items() if not k.startswith("content")})
    items, beside = batch()
    negatives = torch.tensor([[1, 2, 3]])
    found = (with_content(items, beside, negatives) - without(items, beside, negatives)).detach()
    features = np.random.default_rng(0).normal(size=(ITEMS, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    weight = with_content.content.weight.weight.detach()[0].tolist()
    for row in range(3):
        history = items[row].tolist()
        for place in range(6):
            for column, candidate in enumerate([*history, 1, 2, 3]):
                lags = [history[place - lag] for lag in (1, 2, 3) if place - lag >= 0]
                expected = sum(w * features[item] @ features[candidate] for w, item in zip(weight, lags, strict=False))
                assert float(found[row, place, column]) == pytest.approx(expected, abs=1e-4)


def test_both_sides_build_the_same_model_and_touch_no_global_generator():
    config = ModelConfig.model_validate({"dim": 8})
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, other = build_recommender(9, None, config, seed=4), build_recommender(9, None, config, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(one.item.embedding.weight, build_recommender(9, None, config, seed=5).item.embedding.weight)


def test_what_is_searched_for_is_read_where_it_was_last_before_and_later_on():
    model = model_of("searches")
    items, beside = batch()
    negatives = torch.tensor([[1, 2, 3]])
    before = model(items, beside, negatives)
    for place in range(6):
        other = beside._replace(search=beside.search.clone())
        other.search[:, place] = (other.search[:, place] + 1) % (SEARCHES + 1)
        after = model(items, other, negatives)
        assert torch.equal(after[:, :place], before[:, :place])
        assert not torch.allclose(after[:, place], before[:, place])


def test_a_device_without_searches_has_the_same_parameters_and_reads_none():
    config = ModelConfig.model_validate(VARIANTS["searches"])
    features = features_for(config)
    silent = replace(features, searches=features.searches[:0])
    one, other = (build_recommender(ITEMS, given, config, seed=1) for given in (features, silent))
    assert layout_of(one).schema == layout_of(other).schema
    items, beside = batch()
    nothing = beside._replace(search=torch.zeros_like(beside.search))
    negatives = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(other.eval()(items, nothing, negatives), one.eval()(items, nothing, negatives))
    torch.testing.assert_close(one(items, beside._replace(search=None), negatives), one(items, nothing, negatives))


@pytest.mark.parametrize("variant", ["searches", "gated-searches"])
def test_a_search_begins_as_an_item_of_that_text(variant):
    config = ModelConfig.model_validate({"dim": 8, **VARIANTS[variant]})
    model = build_recommender(ITEMS, features_for(config), config, seed=1)
    adapter = model.item.adapter if model.item.fusion is None else model.item.fusion.adapters[0]
    assert torch.equal(model.user.search.weight, adapter.weight)
    assert model.user.search.weight is not adapter.weight


def test_a_search_is_reduced_as_items_are():
    tables = {**VARIANTS["searches"], "items": {"features": {"name": "lm"}, "feature_dim": 2}}
    config = ModelConfig.model_validate({"dim": 8, **tables})
    features = features_for(config)
    same = replace(features, searches=features.matrix[3:5])
    model = build_recommender(ITEMS, same, config, seed=1)
    torch.testing.assert_close(model.user.searches[1:], model.item.features[3:5])
    assert torch.equal(model.user.search.weight, model.item.adapter.weight)
