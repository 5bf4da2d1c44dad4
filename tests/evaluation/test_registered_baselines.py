"""Every registered baseline: deterministic, each case by itself, the past of the cut alone, and no known item in its lists."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from everbloom.config import EvaluationConfig
from everbloom.data.events import NO_ITEM
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.evaluation.evaluator import Evaluator
from everbloom.evaluation.past import Past, binary
from everbloom.evaluation.training_events import trained_period
from everbloom.methods import BASELINES

MakeTimeline = Callable[..., Timeline]
EVERY = pytest.mark.parametrize("name", BASELINES.names())


def past_of(timeline: Timeline, period: int = 0) -> Past:
    items = len(timeline.catalog)
    return Past(timeline, period, np.random.default_rng(1).standard_normal((items, 6)).astype(np.float32))


@EVERY
@pytest.mark.parametrize("protocol", [{}, {"name": "leave-one-out"}])
def test_it_scores_the_whole_catalogue_for_each_case_by_itself(
    random_timeline: MakeTimeline, name: str, protocol: dict[str, str]
) -> None:
    timeline = random_timeline(**protocol)
    period = 0 if protocol else 1
    cases = timeline.cases(period, "test")
    past = past_of(timeline, trained_period(timeline, period, "test"))
    method = BASELINES.parse(name)
    assert method.reads
    assert method.unfit(past) is None
    positions = np.arange(len(cases))[::-1].copy()
    scores = method.fit(past).score(cases, positions)
    assert scores.dtype == torch.float32
    assert scores.shape == (len(cases), len(timeline.catalog))
    assert torch.isfinite(scores).all()
    assert scores.std() > 0
    scorer = BASELINES.parse(name).fit(past_of(timeline, past.period))
    alone = torch.cat([scorer.score(cases, position[None]) for position in positions])
    torch.testing.assert_close(alone, scores)
    assert torch.equal(scorer.score(cases, positions), scores)


@EVERY
def test_what_happens_after_the_cut_changes_nothing(random_timeline: MakeTimeline, name: str) -> None:
    timeline = random_timeline()
    cases = timeline.cases(2, "test")
    window = timeline.window(1)
    item = np.array(timeline.log.item)
    later = (timeline.log.time >= window.end) & (item != NO_ITEM)
    # Cases read histories up to the cut between the periods; between the training window's end and that lies validation.
    later &= timeline.log.time >= cases.period_start
    assert later.sum() > 50
    item[later] = (item[later] + 7) % len(timeline.catalog)
    other = Timeline(
        replace(timeline.log, item=item), timeline.catalog, timeline.labels, timeline.protocol, timeline.boundaries
    )
    positions = np.arange(len(cases))
    one, two = (BASELINES.parse(name).fit(past_of(some, 1)).score(cases, positions) for some in (timeline, other))
    assert torch.equal(one, two)


@EVERY
def test_known_items_are_not_recommended(random_timeline: MakeTimeline, name: str) -> None:
    timeline = random_timeline()
    evaluator = Evaluator(timeline, EvaluationConfig(k=(5,), select="ndcg@5"))
    scorer = BASELINES.parse(name).fit(past_of(timeline, 1))
    ranking = evaluator.ranking(scorer, 2, "test")
    cases = timeline.cases(2, "test")
    for case in range(len(cases)):
        known = set(timeline.log.item[cases.history_start[case] : cases.history_end[case]].tolist()) - {NO_ITEM}
        assert not known & set(ranking.items[case].tolist())
    record = evaluator.measure(scorer, model=name, period=2, round=0, split="test")[0]
    assert 0 < float(record["recall@5"]) <= 1


def test_who_cannot_be_fitted_says_why(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    untimed = Timeline(
        replace(timeline.log, has_time=False),
        timeline.catalog,
        timeline.labels,
        timeline.protocol,
        timeline.boundaries,
    )
    for table, past, told in (
        ("item-text-knn", Past(timeline, 0), "item-text-knn: compares item features"),
        ("recent-popularity", past_of(untimed), "recent-popularity: needs timestamps"),
        ({"name": "ease", "max_items": 39}, past_of(timeline), r"ease: 40 items are more than max_items = 39"),
    ):
        method = BASELINES.parse(table)
        with pytest.raises(DataError, match=told) as caught:
            method.fit(past)
        assert str(caught.value) == method.unfit(past)


def test_an_interaction_counts_once() -> None:
    matrix = binary(np.array([1, 0, 1, 1]), np.array([2, 0, 2, 1]), (2, 3))
    assert matrix.toarray().tolist() == [[1, 0, 0], [0, 1, 1]]
