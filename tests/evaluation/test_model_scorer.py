"""What a model is told of a case: the last events of its history and, if it reads gaps, the times between them and until it is asked."""

import numpy as np
import pytest
import torch

from everbloom.config import ModelConfig
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender, build_recommender

ITEMS = 40
BY_HAND = {"cut": "counts", "periods": 2, "warm_start": 0.5, "validation": 0.0}


def model_of(history: int = 4) -> Recommender:
    user = {"layers": 1, "heads": 2, "history": history, "feedforward": 1, "dropout": 0.0, "gaps": True}
    model = build_recommender(ITEMS, None, ModelConfig.model_validate({"dim": 8, "user": user}), seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def scorer_of(log, history: int = 4) -> ModelScorer:
    model = model_of(history)
    layout = ParameterLayout.of(model)
    return ModelScorer(model, layout, layout.flat(model), log)


def test_gaps_until_the_period_begins(make_timeline):
    """By hand: code 2 from 4 seconds on, 3 from 16; what is asked for comes after the last event, at the start of the period."""
    user = [0, 0, 0, 0, 1, 2, 2, 3, 3, 3]
    time = [0, 5, 5, 21, 90, 20, 92, 20, 91, 93]
    searches = np.array(["rate"] * 10) == "search"
    timeline = make_timeline(user, np.where(searches, -1, np.arange(10)), time, np.full(10, 5), ITEMS, **BY_HAND)
    cases = timeline.cases(1, "test")
    assert (cases.period_start, cases.user.tolist()) == (21, [0, 1, 2, 3])
    items, beside, length = scorer_of(timeline.log)._histories(cases, np.arange(4))
    assert items.tolist() == [[0, 1, 2], [0, 0, 0], [5, 0, 0], [7, 0, 0]]
    assert length.tolist() == [3, 0, 1, 1]
    assert beside.gap.tolist() == [[0, 2, 1, 3], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]


def test_the_first_event_that_is_read_has_a_gap_to_those_that_are_not(make_timeline):
    user, time = [0] * 6, [0, 100, 104, 110, 200, 300]
    timeline = make_timeline(user, np.arange(6), time, np.full(6, 5), ITEMS, **{**BY_HAND, "warm_start": 0.7})
    cases = timeline.cases(1, "test")
    assert cases.period_start == 200
    _, beside, length = scorer_of(timeline.log, history=3)._histories(cases, np.array([0]))
    assert length.tolist() == [2]
    assert beside.gap.tolist() == [[2, 2, 4]]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_times_of_what_is_to_be_found_change_nothing(random_timeline, make_timeline, split):
    """From the measured period on they are spread out anew; the cases and their scores stay."""
    timeline = random_timeline()
    log = timeline.log
    cases = timeline.cases(2, split)
    start = int(timeline.boundaries[2]) if split == "test" else cases.period_start
    late = np.flatnonzero(log.time >= start)
    time = log.time.copy()
    time[late] = start + np.random.default_rng(1).permutation(1000 * np.arange(len(late)))
    scrambled = make_timeline(log.user, log.item, time, log.behaviour, ITEMS, cut="counts", periods=4, warm_start=0.4)
    assert not np.array_equal(scrambled.log.time, log.time)
    which = np.arange(len(cases))
    found = scorer_of(scrambled.log).score(cases, which)
    assert torch.equal(found, scorer_of(log).score(cases, which))


def test_when_a_case_is_asked_counts(random_timeline):
    cases = random_timeline().cases(2, "test")
    scorer = scorer_of(random_timeline().log)
    soon = scorer.score(cases, np.arange(len(cases)))
    later = cases.take(np.arange(len(cases)))
    object.__setattr__(later, "period_start", cases.period_start + 10**7)
    known = cases.history_end > cases.history_start
    assert not torch.isclose(soon, scorer.score(later, np.arange(len(cases))))[torch.from_numpy(known)].all(dim=1).any()
