"""The evaluator's records: their keys, their reproducibility, the subset, the sampled protocol, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everbloom.config import EvaluationConfig
from everbloom.data.cases import Cases
from everbloom.data.timeline import Timeline
from everbloom.errors import ConfigError, DataError
from everbloom.evaluation.evaluator import Evaluator
from everbloom.evaluation.metrics import means, metric_keys

MakeTimeline = Callable[..., Timeline]


@dataclass(frozen=True)
class Fixed:
    """Scores by user from one table: the same whatever the chunk or subset."""

    table: NDArray[np.float32]

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(self.table[cases.user[positions]])


class Oracle:
    """Scores the targets first."""

    def __init__(self, items: int) -> None:
        self.items = items

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        scores = torch.zeros(len(positions), self.items)
        for row, position in enumerate(positions):
            scores[row, cases.targets[cases.target_offsets[position] : cases.target_offsets[position + 1]]] = 1
        return scores


@dataclass(frozen=True)
class Stored:
    user: NDArray[np.int64]
    validation_item: NDArray[np.int64]
    test_item: NDArray[np.int64]
    validation_negatives: NDArray[np.int64]
    test_negatives: NDArray[np.int64]


def _random_scorer(timeline: Timeline) -> Fixed:
    return Fixed(np.random.default_rng(1).random((timeline.log.users, len(timeline.catalog)), dtype=np.float32))


def _stored(timeline: Timeline) -> Stored:
    validation, test = timeline.cases(0, "validation"), timeline.cases(0, "test")
    negatives = np.random.default_rng(2).integers(0, len(timeline.catalog), (2, len(test), 99))
    order = np.random.default_rng(3).permutation(len(test))
    return Stored(
        test.user[order].astype(np.int64),
        validation.targets[order].astype(np.int64),
        test.targets[order].astype(np.int64),
        negatives[0][order],
        negatives[1][order],
    )


def test_records_have_the_fixed_keys_in_order(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    config = EvaluationConfig(k=(5, 10))
    records = Evaluator(timeline, config).measure(
        _random_scorer(timeline), model="federated", period=2, round=7, split="test"
    )
    head = ["period", "round", "split", "protocol", "slice", "model", "users"]
    assert [record["slice"] for record in records][:3] == ["all", "new-users", "returning-users"]
    beyond = [f"{name}@{k}" for k in (5, 10) for name in ("coverage", "popularity", "gini")]
    assert list(records[0]) == head + metric_keys((5, 10)) + beyond
    assert all(list(record) == head + metric_keys((5, 10)) for record in records[1:])
    assert {key: records[0][key] for key in head[:-1]} == {
        "period": 2,
        "round": 7,
        "split": "test",
        "protocol": "full",
        "slice": "all",
        "model": "federated",
    }
    assert records[0]["users"] == len(timeline.cases(2, "test"))


def test_two_evaluators_write_the_same_bytes(random_timeline: MakeTimeline) -> None:
    lines = []
    for _ in range(2):
        timeline = random_timeline()
        evaluator = Evaluator(timeline, EvaluationConfig(max_users=7), seed=3)
        found = evaluator.measure(
            _random_scorer(timeline), model="m", period=1, round=0, split="validation", subset=True
        )
        lines.append(json.dumps(found))
    assert lines[0] == lines[1]
    for value in json.loads(lines[0])[0].values():
        assert not isinstance(value, float) or value == round(value, 6)


def test_perfect_scores_are_perfect(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    evaluator = Evaluator(timeline, EvaluationConfig(k=(10,)))
    records = evaluator.measure(Oracle(len(timeline.catalog)), model="m", period=1, round=0, split="test")
    assert {records[0][key] for key in ("hr@10", "ndcg@10", "mrr@10")} == {1.0}


def test_values_agree_with_the_per_case_ones(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    evaluator = Evaluator(timeline, EvaluationConfig())
    scorer = _random_scorer(timeline)
    record = evaluator.measure(scorer, model="m", period=3, round=0, split="test")[0]
    for key, value in means(evaluator.per_case(scorer, 3, "test")).items():
        assert record[key] == pytest.approx(value, abs=1e-6)


def test_subset_is_seeded_by_period_and_spares_the_test(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    config = EvaluationConfig(max_users=5)
    subset = Evaluator(timeline, config, seed=1).measured(1, "validation", subset=True).cases
    again = Evaluator(timeline, config, seed=1).measured(1, "validation", subset=True).cases
    other = Evaluator(timeline, config, seed=2).measured(1, "validation", subset=True).cases
    whole = Evaluator(timeline, config, seed=1).measured(1, "validation").cases
    assert len(subset) == 5 < len(whole)
    assert subset.user.tolist() == again.user.tolist() != other.user.tolist()
    assert set(subset.user.tolist()) <= set(whole.user.tolist())
    with pytest.raises(ValueError, match="test"):
        Evaluator(timeline, config).measured(1, "test", subset=True)
    unlimited = Evaluator(timeline, EvaluationConfig())
    assert unlimited.measured(1, "validation", subset=True) is unlimited.measured(1, "validation")


def test_a_test_can_be_on_a_sample_too(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    sampled = Evaluator(timeline, EvaluationConfig(max_test_users=5), seed=1)
    cases, whole = sampled.measured(1, "test").cases, timeline.cases(1, "test")
    assert len(cases) == 5 < len(whole)
    assert set(cases.user.tolist()) <= set(whole.user.tolist())
    records = sampled.measure(_random_scorer(timeline), model="m", period=1, round=0, split="test")
    assert records[0]["users"] == 5
    assert len(sampled.measured(1, "validation").cases) == len(timeline.cases(1, "validation"))
    again = Evaluator(timeline, EvaluationConfig(max_test_users=5), seed=1).measured(1, "test").cases
    assert again.user.tolist() == cases.user.tolist()


def test_cases_are_made_once(random_timeline: MakeTimeline) -> None:
    evaluator = Evaluator(random_timeline(), EvaluationConfig())
    assert evaluator.measured(1, "test") is evaluator.measured(1, "test")


def test_slices_can_be_turned_off(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    evaluator = Evaluator(timeline, EvaluationConfig(slices=False))
    records = evaluator.measure(_random_scorer(timeline), model="m", period=1, round=0, split="test")
    assert [record["slice"] for record in records] == ["all"]


def test_stored_candidates_add_the_sampled_protocol(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline(name="leave-one-out")
    stored = _stored(timeline)
    evaluator = Evaluator(timeline, EvaluationConfig(slices=False, max_users=6), candidates=stored)
    scorer = _random_scorer(timeline)
    full, sampled = evaluator.measure(scorer, model="m", period=0, round=0, split="test")
    assert (full["protocol"], sampled["protocol"]) == ("full", "sampled-99")
    row = {int(user): index for index, user in enumerate(stored.user)}
    hits = []
    for user in timeline.cases(0, "test").user.tolist():
        scores = scorer.table[user]
        rivals = scores[stored.test_negatives[row[user]]]
        hits.append((rivals >= scores[stored.test_item[row[user]]]).sum() < 10)
    assert sampled["hr@10"] == pytest.approx(np.mean(hits), abs=1e-6)
    on_subset = evaluator.measure(scorer, model="m", period=0, round=0, split="validation", subset=True)
    assert [record["users"] for record in on_subset] == [6, 6]


def test_candidates_of_other_data_are_refused(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline(name="leave-one-out")
    stored = _stored(timeline)
    shifted = Stored(stored.user, stored.validation_item, (stored.test_item + 1) % 40, *[stored.test_negatives] * 2)
    with pytest.raises(DataError, match="test item is not the log's"):
        Evaluator(timeline, EvaluationConfig(), candidates=shifted).measured(0, "test")
    fewer = Stored(*(column[1:] for column in vars(stored).values()))
    with pytest.raises(DataError, match="nothing is stored for user"):
        Evaluator(timeline, EvaluationConfig(), candidates=fewer).measured(0, "test")
    with pytest.raises(DataError, match="leave-one-out"):
        Evaluator(random_timeline(), EvaluationConfig(), candidates=stored).measured(1, "test")


def test_refuses_to_select_by_what_is_not_measured(random_timeline: MakeTimeline) -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.select"):
        Evaluator(random_timeline(), EvaluationConfig(k=(5,), select="ndcg@10"))
