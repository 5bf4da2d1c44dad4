"""Lists are those of the evaluation, reasons those that the counterfactual gives, and parts what a score loses without them."""

import numpy as np
import pytest
import torch
from explained_models import FEATURES, ITEMS, model_of, scorer_of
from torch.nn import functional

from everbloom.data.events import BEHAVIOURS
from everbloom.explanations.attribution import leave_one_out
from everbloom.explanations.counterfactuals import asked_now, pieces
from everbloom.explanations.parts import parts_of
from everbloom.explanations.recommending import Recommending
from everbloom.models.other_texts import OtherTexts
from everbloom.models.phrases import with_phrases
from everbloom.models.users import Circumstances

NOW = 10**6
UNIT = functional.normalize(torch.from_numpy(FEATURES), dim=1)


def every_score(model, log) -> np.ndarray:
    cases = asked_now(log, np.ones(ITEMS, dtype=np.bool_), NOW)
    return scorer_of(model, log).score(cases, np.array([0]))[0].numpy()


def test_the_best_items_that_are_new_and_available(kind, one_log):
    log, model = one_log([3, 1, 4, 1, 5]), model_of(kind)
    available = np.arange(ITEMS) % 2 == 0
    scores = every_score(model, log)
    found = Recommending(scorer_of(model, log)).recommend(log, 5, now=NOW, available=available)
    allowed = [item for item in np.argsort(-scores, kind="stable") if item % 2 == 0 and item != 4]
    assert [one.item for one in found] == allowed[:5]
    np.testing.assert_allclose([one.score for one in found], scores[allowed[:5]], rtol=1e-6)


def test_fewer_where_there_are_not_so_many(one_log):
    log, model = one_log([0, 1]), model_of("ids")
    assert len(Recommending(scorer_of(model, log)).recommend(log, 99, now=NOW)) == ITEMS - 2
    assert (
        Recommending(scorer_of(model, log)).recommend(log, 3, now=NOW, available=np.zeros(ITEMS, dtype=np.bool_)) == []
    )
    nothing = np.zeros(ITEMS, dtype=np.bool_)
    assert Recommending(scorer_of(model, log)).recommend_with_reasons(log, 3, now=NOW, available=nothing) == []


def test_somebody_who_has_done_nothing_gets_a_list_without_reasons(kind, one_log):
    log, model = one_log([]), model_of(kind)
    found = Recommending(scorer_of(model, log)).recommend_with_reasons(log, 3, now=NOW)
    assert [one.reasons for one in found] == [(), (), ()]


def test_reasons_are_the_strongest_pieces_that_raised_the_score(kind, one_log):
    buy, view = BEHAVIOURS.index("purchase"), BEHAVIOURS.index("view")
    log, model = one_log([7, 2, 9, 7], behaviour=[view, view, buy, buy]), model_of(kind)
    scorer = scorer_of(model, log)
    piece = pieces(log, 6)
    raised, scores = leave_one_out(scorer, log, piece, scorer.catalogue, NOW)
    for one in Recommending(scorer).recommend_with_reasons(log, 10, now=NOW, most=2):
        assert one.score == pytest.approx(scores[one.item], abs=1e-5)
        own = raised[:, one.item]
        named = [number for number in np.argsort(-own)[:2] if own[number] > max(0.0, 0.1 * own.max())]
        assert [reason.item for reason in one.reasons] == [[7, 9, 2][number] for number in named]
        np.testing.assert_allclose([reason.contribution for reason in one.reasons], own[named], atol=1e-5)
        for reason in one.reasons:
            if reason.item == 7:
                assert (reason.behaviours, reason.times) == (("view", "purchase"), 2)


def test_a_log_of_many_is_refused(random_log_of_two, one_log):
    with pytest.raises(ValueError, match="expected the events of one user, got those of 2"):
        Recommending(scorer_of(model_of("ids"), one_log([1]))).recommend(random_log_of_two, 3, now=NOW)


@pytest.mark.parametrize("kind", ["ids", "features", "content", "mlp"])
def test_parts_are_what_a_score_loses_without_them(one_log, kind):
    """By hand, with the vectors and features of the candidates alone; the history is read as it was."""
    log, model = one_log([3, 9, 21]), model_of(kind)
    scorer = scorer_of(model, log)
    features = model.item.features
    parts = parts_of(model, {} if features is None else {"genres": OtherTexts(features.roll(1, 0), UNIT.roll(1, 0))})
    chosen = np.array([30, 8])
    found = Recommending(scorer, parts).explain(log, chosen, now=NOW)
    names = {"ids": ["collaborative", "popularity"], "content": ["field:genres", "text", "popularity"]}
    assert list(dict(found[0].parts)) == names.get(kind, ["field:genres", "text", "collaborative", "popularity"])
    items = torch.from_numpy(log.item.astype(np.int64))[None]
    with torch.no_grad():
        user = model.user(model.item(items)[0], Circumstances(torch.zeros_like(items)))[:, -1:]
        whole = every_score(model, log)[chosen]
        for table in (model.item.embedding, model.item.item_bias, model.item.feature_bias):
            if table is not None:
                kept = table.weight.clone()
                table.weight.zero_()
                lost = whole - _scores(model, user, chosen, items)
                table.weight.copy_(kept)
                name = "collaborative" if table is model.item.embedding else "popularity"
                np.testing.assert_allclose([dict(one.parts)[name] for one in found], lost, atol=1e-5)
        if features is not None:
            kept = model.item.features
            model.item.features = torch.zeros_like(kept)
            lost = whole - _scores(model, user, chosen, items, texts=False)
            model.item.features = kept
            np.testing.assert_allclose([dict(one.parts)["text"] for one in found], lost, atol=1e-5)


def _scores(model, user, chosen, items, texts=True):
    catalogue = model.catalogue().take(torch.from_numpy(chosen))
    scores = model.score(user, catalogue.vectors[None], catalogue.bias[None])[0, 0]
    if model.content is not None and texts:
        scores = scores + model.content.pooled(items, torch.tensor([items.shape[1]]))[0] @ catalogue.features.T
    return scores.numpy()


def test_a_field_that_changes_nothing_adds_nothing(one_log):
    model = model_of("features")
    parts = parts_of(model, {"same": OtherTexts(model.item.features, UNIT)})
    found = Recommending(scorer_of(model, one_log([1])), parts).explain(one_log([3, 4]), np.array([7]), now=NOW)
    assert dict(found[0].parts)["field:same"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", ["features", "content", "mlp"])
def test_a_phrase_is_an_item_of_which_only_the_text_is_known(one_log, kind):
    """Described by the very text of an item, somebody is recommended what follows that item without its own vector and bias."""
    model = model_of(kind)
    extended = with_phrases(model, OtherTexts(model.item.features[[11, 4]], UNIT[[11, 4]]))
    with torch.no_grad():
        for table in (model.item.embedding, model.item.item_bias):
            if table is not None:
                table.weight[[11, 4]] = 0
    expected = every_score(model, one_log([11, 4]))
    log = one_log([ITEMS, ITEMS + 1])
    cases = asked_now(log, np.ones(ITEMS + 2, dtype=np.bool_), NOW)
    scores = scorer_of(extended, log).score(cases, np.array([0]))[0].numpy()
    others = [item for item in range(ITEMS) if item not in (11, 4)]
    np.testing.assert_allclose(scores[others], expected[others], atol=1e-5)
    found = Recommending(scorer_of(extended, log)).recommend(log, ITEMS + 2, now=NOW)
    assert {one.item for one in found} == set(range(ITEMS))  # phrases are known, and never recommended
    assert model.item.items == ITEMS
