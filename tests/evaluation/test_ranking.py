"""Full and sampled ranking against brute force in plain python; masks, ties, short catalogues."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM
from everbloom.data.timeline import Timeline
from everbloom.evaluation.metrics import means, per_case
from everbloom.evaluation.ranking import chunk_size, hits_of_ranks, rank, sampled_ranks

MakeTimeline = Callable[..., Timeline]


def _brute_force(cases: Cases, timeline: Timeline, scores: NDArray[np.float32], k: int) -> list[list[int]]:
    lists = []
    for case in range(len(cases)):
        targets = set(cases.targets[cases.target_offsets[case] : cases.target_offsets[case + 1]].tolist())
        known = set(timeline.log.item[cases.history_start[case] : cases.history_end[case]].tolist())
        known = set() if cases.repeats else known
        allowed = [
            item for item in range(scores.shape[1]) if item in targets or (cases.available[item] and item not in known)
        ]
        best = sorted(allowed, key=lambda item: (-scores[case, item], item))[:k]
        lists.append(best + [NO_ITEM] * (k - len(best)))
    return lists


def _of(scores: NDArray[np.float32]) -> Callable[[NDArray[np.int64]], torch.Tensor]:
    return lambda positions: torch.from_numpy(scores[positions])


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(("period", "split"), [(1, "test"), (3, "test"), (0, "validation")])
def test_equals_brute_force(random_timeline: MakeTimeline, chunk: int, period: int, split: str, repeats: bool) -> None:
    """Also where known items count."""
    timeline = random_timeline(cut="counts", periods=4, warm_start=0.4, validation=0.4, repeats=repeats)
    cases = timeline.cases(period, split)  # type: ignore[arg-type]
    items = len(timeline.catalog)
    # Few distinct scores: nearly everything is tied.
    scores = np.random.default_rng(0).integers(-3, 3, (len(cases), items)).astype(np.float32)
    ranking = rank(cases, timeline.log, items, _of(scores), 20, chunk)
    expected = _brute_force(cases, timeline, scores, 20)
    assert ranking.items.tolist() == expected
    offsets = cases.target_offsets
    for case, row in enumerate(expected):
        targets = cases.targets[offsets[case] : offsets[case + 1]].tolist()
        assert ranking.hits[case].tolist() == [item in targets for item in row]


def test_known_target_stays_rankable(make_timeline: MakeTimeline) -> None:
    rate = 5
    timeline = make_timeline([0] * 4, [0, 1, 2, 0], [0, 1, 2, 3], [rate] * 4, 4, name="leave-one-out")
    cases = timeline.cases(0, "test")
    ranking = rank(cases, timeline.log, 4, _of(np.zeros((1, 4), dtype=np.float32)), 4)
    assert ranking.items.tolist() == [[0, 3, NO_ITEM, NO_ITEM]]
    assert ranking.hits.tolist() == [[True, False, False, False]]


def test_more_ranks_than_items(make_timeline: MakeTimeline) -> None:
    timeline = make_timeline([0] * 3 + [1] * 3, [0, 1, 2] * 2, list(range(6)), [5] * 6, 4, name="leave-one-out")
    cases = timeline.cases(0, "test")
    ranking = rank(cases, timeline.log, 4, _of(np.ones((2, 4), dtype=np.float32)), 10)
    assert ranking.items.shape == ranking.hits.shape == (2, 10)
    assert ranking.items[0].tolist() == [2, 3] + [NO_ITEM] * 8
    assert ranking.hits.sum() == 2


def test_signs_zeros_and_infinities_keep_their_order(
    one_target_cases: Callable[..., Cases], random_timeline: MakeTimeline
) -> None:
    row = np.array([-0.0, 1e-38, 0.0, -np.inf, np.inf, -1e-38, -5.0, 5.0], dtype=np.float32)
    cases = one_target_cases(np.array([3], dtype=np.int32), 8)
    ranking = rank(cases, random_timeline().log, 8, _of(row[None]), 8)
    assert ranking.items[0].tolist() == [4, 7, 1, 0, 2, 5, 6, 3]


def test_scores_are_not_changed_and_may_be_expanded(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    cases = timeline.cases(1, "test")
    row = torch.arange(len(timeline.catalog), dtype=torch.float32)
    rank(cases, timeline.log, len(row), lambda positions: row.expand(len(positions), -1), 5)
    assert torch.equal(row, torch.arange(len(row), dtype=torch.float32))


def test_refuses_nan_and_wrong_shapes(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    cases = timeline.cases(1, "test")
    items = len(timeline.catalog)
    with pytest.raises(FloatingPointError, match="diverged"):
        rank(cases, timeline.log, items, lambda positions: torch.full((len(positions), items), torch.nan), 5)
    with pytest.raises(ValueError, match="expected"):
        rank(cases, timeline.log, items, lambda positions: torch.zeros(len(positions), items + 1), 5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_sampled_ranks_equal_brute_force(seed: int, chunk: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    cases, items, negatives = 12, 150, 99
    scores = rng.integers(0, levels, (cases, items)).astype(np.float32)
    drawn = np.argsort(rng.random((cases, items)), axis=1)[:, : negatives + 1]
    ranks = sampled_ranks(drawn[:, 0], drawn[:, 1:], _of(scores), items, chunk)
    for case in range(cases):
        candidates = [*drawn[case, 1:].tolist(), int(drawn[case, 0])]
        ordered = sorted(candidates, key=lambda item: -scores[case, item])  # stable: negatives first among equals
        assert ranks[case] == ordered.index(drawn[case, 0]) + 1


def test_random_scores_hit_ten_percent_under_sampled_99() -> None:
    """HR@10 of a random scorer is 10 / 100; over 4,000 cases .02 is more than four standard errors."""
    rng = np.random.default_rng(0)
    cases, items = 4000, 200
    scores = rng.random((cases, items), dtype=np.float32)
    drawn = np.argsort(rng.random((cases, items)), axis=1)[:, :100]
    ranks = sampled_ranks(drawn[:, 0], drawn[:, 1:], _of(scores), items)
    values = means(per_case(hits_of_ranks(ranks, 10), np.ones(cases, dtype=np.int64), [10]))
    assert abs(values["hr@10"] - 0.1) < 0.02
    assert abs(values["ndcg@10"] - (1 / np.log2(np.arange(2, 12))).sum() / 100) < 0.012


def test_a_constant_score_never_hits_under_sampled_99() -> None:
    ranks = sampled_ranks(np.array([0]), np.arange(1, 100)[None], _of(np.zeros((1, 100), dtype=np.float32)), 100)
    assert ranks.tolist() == [100]
    assert not hits_of_ranks(ranks, 10).any()


def test_chunks_stay_small() -> None:
    assert chunk_size(100) == 1024
    assert chunk_size(3416) == 306
    assert chunk_size(10_000_000) == 16
