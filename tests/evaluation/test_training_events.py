"""What could have been learnt from, for all users at once, is what each device's own window says."""

from collections.abc import Callable

import pytest

from everbloom.data.timeline import Split, Timeline
from everbloom.evaluation.training_events import item_counts, trained_period, training_rows

MakeTimeline = Callable[..., Timeline]


def _by_device(timeline: Timeline, periods: int) -> list[int]:
    rows = []
    for user in range(timeline.log.users):
        own = timeline.log.rows(user)
        for period in range(periods):
            bounds = timeline.window(period).rows(timeline.log.of(user), timeline.weight[own])
            _, first, end = (int(bound[0]) for bound in bounds)
            rows += [own.start + row for row in range(first, end) if timeline.weight[own.start + row] > 0]
    return sorted(rows)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_devices_windows(random_timeline: MakeTimeline, seed: int) -> None:
    timeline = random_timeline(seed)
    for period in range(timeline.periods):
        assert training_rows(timeline, period).tolist() == _by_device(timeline, period + 1)


def test_equals_the_devices_windows_in_leave_one_out(
    make_timeline: MakeTimeline, random_timeline: MakeTimeline
) -> None:
    timeline = random_timeline(name="leave-one-out")
    assert training_rows(timeline, 0).tolist() == _by_device(timeline, 1)
    few = make_timeline([0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 3], list(range(6)), [5] * 6, 4, name="leave-one-out")
    assert training_rows(few, 0).tolist() == _by_device(few, 1) == [0, 1, 2, 5]
    assert item_counts(few, 0).tolist() == [2, 1, 0, 1]


def test_nothing_learnt_lies_in_what_is_measured(random_timeline: MakeTimeline) -> None:
    timeline = random_timeline()
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        for period in range(timeline.periods):
            if not timeline.has(period, split):
                continue
            cases = timeline.cases(period, split)
            rows = training_rows(timeline, trained_period(timeline, period, split))
            assert (timeline.log.time[rows] < cases.period_start).all()
