"""Slices: who is in which, and that only the targets of a slice count."""

from collections.abc import Callable

import numpy as np

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM
from everbloom.data.timeline import Timeline
from everbloom.evaluation.ranking import Ranking
from everbloom.evaluation.slices import head_items, slices


def _cases(history: list[int], targets: list[list[int]], items: int, period_start: int = 100) -> Cases:
    end = np.cumsum(history, dtype=np.int64)
    counts = [len(found) for found in targets]
    return Cases(
        np.arange(len(history), dtype=np.int32),
        end - np.array(history, dtype=np.int64),
        end,
        np.array([item for found in targets for item in found], dtype=np.int32),
        np.concatenate(([0], np.cumsum(counts))),
        np.ones(items, dtype=np.bool_),
        period_start,
    )


def test_users_by_what_is_known_of_them() -> None:
    cases = _cases([0, 1, 10, 11, 50, 51], [[0]] * 6, 3)
    found = {part.name: part.cases.tolist() for part in slices(cases, np.zeros(3, dtype=np.int64), np.array([1, 1, 1]))}
    assert found["all"] == [0, 1, 2, 3, 4, 5]
    assert found["new-users"] == [0]
    assert found["returning-users"] == [1, 2, 3, 4, 5]
    assert found["short-history"] == [1, 2]
    assert found["medium-history"] == [3, 4]
    assert found["long-history"] == [5]


def test_only_the_targets_of_an_item_slice_count() -> None:
    cases = _cases([1, 1, 1], [[0, 2], [1], [2]], 3)
    first_seen = np.array([0, 0, 100])
    ranking = Ranking(
        np.array([[2, 0, NO_ITEM], [1, 2, 0], [0, 1, NO_ITEM]], dtype=np.int32),
        np.array([[True, True, False], [True, False, False], [False, False, False]]),
    )
    parts = {part.name: part for part in slices(cases, first_seen, np.array([8, 2, 0]))}
    new = parts["new-items"]
    assert new.cases.tolist() == [0, 2]
    assert new.targets.tolist() == [1, 1]
    assert new.hits(ranking).tolist() == [[True, False, False], [False, False, False]]
    head = parts["head-items"]
    assert head.cases.tolist() == [0]
    assert head.hits(ranking).tolist() == [[False, True, False]]
    tail = parts["tail-items"]
    assert tail.cases.tolist() == [0, 1, 2]
    assert tail.targets.tolist() == [1, 1, 1]
    assert parts["all"].targets.tolist() == [2, 1, 1]


def test_empty_slices_are_left_out() -> None:
    names = [part.name for part in slices(_cases([1], [[0]], 2), np.array([0, 0]), np.array([3, 0]))]
    assert names == ["all", "returning-users", "short-history", "head-items"]


def test_head_is_the_smallest_set_with_the_share() -> None:
    assert head_items(np.array([1, 5, 3, 1])).tolist() == [False, True, True, False]
    assert head_items(np.array([2, 2, 2, 2, 2])).tolist() == [True, True, True, True, False]
    assert head_items(np.array([0, 0])).tolist() == [False, False]


def test_slices_of_a_timeline_partition_cases_and_targets(random_timeline: Callable[..., Timeline]) -> None:
    timeline = random_timeline()
    cases = timeline.cases(2, "test")
    counts = np.random.default_rng(0).integers(0, 50, len(timeline.catalog))
    parts = {part.name: part for part in slices(cases, timeline.catalog.first_seen, counts)}
    assert {"all", "new-users", "returning-users", "new-items", "head-items", "tail-items"} <= set(parts)
    histories = [
        parts[name].cases for name in ("new-users", "short-history", "medium-history", "long-history") if name in parts
    ]
    assert np.sort(np.concatenate(histories)).tolist() == parts["all"].cases.tolist()
    assert parts["head-items"].targets.sum() + parts["tail-items"].targets.sum() == len(cases.targets)
