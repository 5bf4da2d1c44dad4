"""Baselines against counting by hand, and through the evaluator."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from everbloom.config import EvaluationConfig
from everbloom.data.timeline import Timeline
from everbloom.evaluation.baselines.item_text_knn import ItemTextKnn
from everbloom.evaluation.baselines.markov import Markov
from everbloom.evaluation.baselines.popularity import Popularity
from everbloom.evaluation.evaluator import Evaluator, Scorer
from everbloom.evaluation.training_events import training_rows

MakeTimeline = Callable[..., Timeline]


def test_popularity_counts_training_positives(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    cases = timeline.cases(1, "test")
    scores = Popularity.fit(timeline, 0).score(cases, np.arange(3))
    counted = Counter(timeline.log.item[training_rows(timeline, 0)].tolist())
    assert scores.shape == (3, len(timeline.catalog))
    assert scores[2].tolist() == [counted[item] for item in range(len(timeline.catalog))]


def test_markov_counts_what_followed_the_last_item(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    log = timeline.log
    rows = training_rows(timeline, 1)
    followed: Counter[tuple[int, int]] = Counter()
    for row, following in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        if log.user[row] == log.user[following]:
            followed[int(log.item[row]), int(log.item[following])] += 1
    cases = timeline.cases(2, "test")
    positions = np.arange(len(cases))[::-1].copy()
    scores = Markov.fit(timeline, 1).score(cases, positions).numpy()
    assert any(cases.history_end == cases.history_start)
    for row, position in enumerate(positions):
        known = log.item[cases.history_start[position] : cases.history_end[position]]
        last = int(known[-1]) if len(known) else -1
        expected = [followed[last, item] for item in range(len(timeline.catalog))]
        assert np.floor(scores[row]).tolist() == expected


def test_item_text_knn_is_the_mean_cosine(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    features = np.random.default_rng(0).standard_normal((len(timeline.catalog), 8)).astype(np.float32)
    features[5] = 0
    cases = timeline.cases(2, "test")
    scores = ItemTextKnn.fit(timeline, features, recent=4).score(cases, np.arange(len(cases))).numpy()
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, length, out=np.zeros_like(features), where=length > 0)
    for case in range(len(cases)):
        known = timeline.log.item[cases.history_start[case] : cases.history_end[case]][-4:]
        known = known[known >= 0]
        expected = (unit[known] @ unit.T).mean(axis=0) if len(known) else np.zeros(len(unit))
        np.testing.assert_allclose(scores[case], expected, atol=1e-5)


def test_item_text_knn_needs_every_item(random_timeline: MakeTimeline) -> None:
    with pytest.raises(ValueError, match="features"):
        ItemTextKnn.fit(random_timeline(), np.zeros((3, 2), dtype=np.float32))


def test_every_baseline_is_a_scorer(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    features = np.eye(len(timeline.catalog), dtype=np.float32)
    baselines: list[Scorer] = [
        Popularity.fit(timeline, 0),
        Markov.fit(timeline, 0),
        ItemTextKnn.fit(timeline, features),
    ]
    evaluator = Evaluator(timeline, EvaluationConfig())
    for baseline in baselines:
        record = evaluator.measure(baseline, model="baseline", period=1, round=0, split="test")[0]
        assert 0 < float(record["recall@20"]) <= 1
