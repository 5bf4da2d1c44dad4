"""Leave-one-out is exact, whatever the model; gradient x input agrees with it where the model is linear, and in rank elsewhere."""

import numpy as np
import pytest
import torch
from explained_models import ITEMS, model_of, scorer_of
from scipy.stats import spearmanr

from everbloom.config import ModelConfig
from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.explanations.attribution import gradient_times_input, leave_one_out
from everbloom.explanations.conserving import Conserving
from everbloom.explanations.counterfactuals import asked_now, pieces, without, without_each
from everbloom.models.recommender import build_recommender

NOW = 10**6


def drop(log, row):
    mask = np.zeros(len(log), dtype=np.bool_)
    mask[row] = True
    return without(log, [mask])


def alone(model, log, personal=None):
    """[items] scores after a history, by itself."""
    cases = asked_now(log, np.ones(ITEMS, dtype=np.bool_), NOW)
    return scorer_of(model, log, personal).score(cases, np.array([0]))[0].numpy()


@pytest.mark.parametrize("count", [1, 3, 6, 11])
def test_leave_one_out_is_the_score_without_the_event(kind, one_log, count):
    """Also where older events take the places that become free: 6 of 11 are read."""
    log = one_log(list(range(3, 3 + count)), behaviour=[place % 5 for place in range(count)])
    model = model_of(kind)
    personal = np.full((1, 8), 0.3, dtype=np.float32) if model.personal is not None else None
    scorer = scorer_of(model, log, personal)
    piece = pieces(log, model.history - 1)
    raised, scores = leave_one_out(scorer, log, piece, scorer.catalogue, NOW)
    assert raised.shape == (min(count, 6), ITEMS)
    whole = alone(model, log, personal)
    np.testing.assert_allclose(scores, whole, atol=1e-5)
    for number in range(len(raised)):
        (row,) = np.flatnonzero(piece == number)
        np.testing.assert_allclose(raised[number], whole - alone(model, drop(log, row), personal), atol=1e-5)


def test_some_items_have_the_scores_they_have_among_all(kind, one_log):
    log = one_log([5, 6, 7])
    scorer = scorer_of(model_of(kind), log)
    piece, which = pieces(log, 6), torch.tensor([9, 2, 30])
    raised, scores = leave_one_out(scorer, log, piece, scorer.catalogue.take(which), NOW)
    all_raised, all_scores = leave_one_out(scorer, log, piece, scorer.catalogue, NOW)
    np.testing.assert_allclose(scores, all_scores[which], atol=1e-5)
    np.testing.assert_allclose(raised, all_raised[:, which], atol=1e-5)


def test_pieces_are_items_latest_first(one_log):
    log = one_log([1, 2, 3, 2, NO_ITEM, 4])
    assert pieces(log, 10).tolist() == [3, 1, 2, 1, -1, 0]
    assert pieces(log, 2).tolist() == [
        -1,
        1,
        -1,
        1,
        -1,
        0,
    ]  # the older event with item 2 goes with the one that is read
    assert pieces(log, 0).tolist() == [-1] * 6
    assert pieces(one_log([]), 5).tolist() == []


def test_all_events_with_an_item_leave_together(one_log):
    log = one_log([1, 2, 1, 3])
    others = without_each(log, pieces(log, 6))
    histories = [others.item[others.rows(user)].tolist() for user in range(others.users)]
    assert histories == [[1, 2, 1, 3], [1, 2, 1], [2, 3], [1, 1, 3]]
    assert [others.user_ids[user] for user in range(4)] == ["ann"] * 4


@pytest.mark.parametrize("kind", ["ids", "features", "content", "circumstances"])
def test_gradient_times_input_conserves_the_score(one_log, kind):
    """Where nothing but item vectors goes in (no bias, no position, no start), their contributions are the whole score."""
    log = one_log([3, 9, 21, 4, 9])
    model = model_of(kind)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name or name.startswith(
                ("user.start", "user.position", "user.gap", "user.behaviour", "personal")
            ):
                parameter.zero_()
    scorer = scorer_of(model, log)
    piece = pieces(log, 6)
    found = gradient_times_input(scorer, log, piece, scorer.catalogue, NOW)
    assert found.shape == (4, ITEMS)
    np.testing.assert_allclose(found.sum(axis=0), alone(model, log), atol=1e-3)


def test_gradient_times_input_of_a_model_that_reads_the_last_event_alone(one_log):
    """By hand: without layers, the user vector is the last event's vector and position, scaled to unit variance."""
    config = ModelConfig.model_validate({"dim": 8, "user": {"layers": 0, "heads": 2, "history": 7}})
    model = build_recommender(ITEMS, None, config, seed=1)
    log = one_log([3, 9, 21])
    scorer = scorer_of(model, log)
    found = gradient_times_input(scorer, log, pieces(log, 6), scorer.catalogue, NOW)
    with torch.no_grad():
        vector = model.item.embedding.weight[21]
        deviation = (vector + model.user.position.weight[3]).var(unbiased=False).add(1e-5).sqrt()
        expected = (vector - vector.mean()) / deviation @ model.item.embedding.weight.T
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    assert not found[1:].any()


def test_results_are_the_same_with_gradients_held(kind, one_log):
    log, model = one_log([3, 9, 21, 4]), model_of(kind)
    with Conserving():
        held = alone(model, log)
    np.testing.assert_allclose(held, alone(model, log), atol=1e-4)


def test_the_two_ways_agree_in_rank(kind, one_log):
    rng = np.random.default_rng(3)
    agreement = []
    for seed in range(12):
        log = one_log(rng.choice(ITEMS, 6, replace=False).tolist())
        model = model_of(kind, seed=seed, moved=0.1)
        scorer = scorer_of(model, log)
        piece = pieces(log, 6)
        exact, _ = leave_one_out(scorer, log, piece, scorer.catalogue, NOW)
        estimate = gradient_times_input(scorer, log, piece, scorer.catalogue, NOW)
        agreement += [spearmanr(exact[:, item], estimate[:, item]).statistic for item in range(ITEMS)]
    assert np.mean(agreement) > 0.1  # of an untrained model; `test_faithfulness.py` has a trained one


def test_what_a_content_match_adds_by_event_is_all_that_it_adds():
    model = model_of("content")
    items = torch.tensor([[4, 8, 15, 16, 23], [7, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    length = torch.tensor([5, 1, 0])
    features = model.content.features
    with torch.inference_mode():
        added = model.content.by_event(items, length, features)
        torch.testing.assert_close(added.sum(dim=1), model.content.pooled(items, length) @ features.T)
    assert added.shape == (3, 5, ITEMS)
    assert not added[0, :2].any()  # three lags
    assert not added[1, 1:].any()
    assert not added[2].any()


def test_searches_are_no_pieces(one_log):
    log = one_log([1, NO_ITEM, 3], behaviour=[0, BEHAVIOURS.index("search"), 0])
    scorer = scorer_of(model_of("ids"), log)
    piece = pieces(log, 6)
    assert leave_one_out(scorer, log, piece, scorer.catalogue, NOW)[0].shape == (2, ITEMS)
    assert gradient_times_input(scorer, log, piece, scorer.catalogue, NOW).shape == (2, ITEMS)


def test_a_history_of_nothing_has_no_pieces(kind, one_log):
    log = one_log([])
    scorer = scorer_of(model_of(kind), log)
    raised, scores = leave_one_out(scorer, log, pieces(log, 6), scorer.catalogue, NOW)
    assert raised.shape == (0, ITEMS)
    assert scores.shape == (ITEMS,)
    assert gradient_times_input(scorer, log, pieces(log, 6), scorer.catalogue, NOW).shape == (0, ITEMS)
