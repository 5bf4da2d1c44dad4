"""Examples of a client: what is learnt from, in how many examples an event lies, and that nothing from the future is in them."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everbloom.config import LearningConfig
from everbloom.data.events import NO_ITEM, Histories
from everbloom.data.timeline import FOREVER, TrainingWindow
from everbloom.learning.examples import Examples, build_examples
from everbloom.seeding import PublicDraws

COLUMNS = ("item", "time", "behaviour", "value")
ALWAYS = TrainingWindow(np.iinfo(np.int64).min, FOREVER)


def history(items: list[int], times: list[int] | None = None) -> Histories:
    """Events whose behaviour code tells nothing and whose item tells everything."""
    count = len(items)
    return Histories.of_one(
        np.array(items, dtype=np.int32),
        np.array(times if times is not None else range(count), dtype=np.int64),
        np.arange(count, dtype=np.uint8) % 6,
        np.ones(count, dtype=np.float32),
    )


def examples_of(
    events: Histories,
    weight: list[float] | None = None,
    window: TrainingWindow = ALWAYS,
    kind: str = "windows",
    length: int = 3,
    disjoint: bool = True,
    seed: int = 0,
    **learning: int,
) -> Examples:
    weights = np.ones(len(events)) if weight is None else np.array(weight)
    weights = np.where(events.item == NO_ITEM, 0, weights).astype(np.float32)
    config = LearningConfig(examples=kind, **learning)
    draws = PublicDraws(seed, np.array([7]), 0, 1)
    return build_examples(events, weights, window, config, length, disjoint, draws)[0]


def sequences(examples: Examples) -> list[list[int]]:
    return [row[real].tolist() for row, real in zip(examples.items, examples.real, strict=True)]


def learnt(examples: Examples) -> list[list[int]]:
    return [row[weight > 0].tolist() for row, weight in zip(examples.items, examples.weight, strict=True)]


@st.composite
def logs(draw):
    """One user's (events with distinct items, so that an event can be told by its item; weights; window; length)."""
    count = draw(st.integers(0, 25))
    gaps = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    searches = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    items = [NO_ITEM if search and draw(st.booleans()) else place for place, search in enumerate(searches)]
    weight = draw(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=count, max_size=count))
    start, end = sorted(draw(st.tuples(st.integers(-1, 40), st.integers(-1, 40))))
    held_out = draw(st.integers(0, 2))
    times = np.cumsum(gaps).tolist() if gaps else []
    return history(items, times), weight, TrainingWindow(start, end, held_out), draw(st.integers(1, 6))


def joined(histories: list[Histories]) -> Histories:
    """Several users' events as one."""
    columns = (np.concatenate([getattr(one, name) for one in histories]) for name in COLUMNS)
    return Histories(*columns, np.cumsum([0, *map(len, histories)]))


def targets(events: Histories, weight: list[float], window: TrainingWindow) -> list[int]:
    """By hand: positives in [start, end), without the last `held_out` and what follows the first of them."""
    places = [
        place
        for place in range(len(events))
        if weight[place] > 0 and events.item[place] != NO_ITEM and events.time[place] < window.end
    ]
    if window.held_out and len(places) > window.held_out:
        places = places[: -window.held_out]
    return [int(events.item[place]) for place in places if events.time[place] >= window.start]


def visible(events: Histories, weight: list[float], window: TrainingWindow) -> set[int]:
    """Items of the events that exist for a device in this window."""
    there = [place for place in range(len(events)) if events.time[place] < window.end]
    positives = [place for place in there if weight[place] > 0 and events.item[place] != NO_ITEM]
    if window.held_out and len(positives) > window.held_out:
        there = [place for place in there if place < positives[-window.held_out]]
    return {int(events.item[place]) for place in there} - {NO_ITEM}


@given(logs())
def test_disjoint_windows_put_every_event_in_at_most_one_example(log):
    events, weight, window, length = log
    examples = examples_of(events, weight, window, "windows", length)
    inside = Counter(item for sequence in sequences(examples) for item in sequence)
    assert set(inside.values()) <= {1}
    assert sorted(item for example in learnt(examples) for item in example) == sorted(targets(events, weight, window))


@given(logs())
def test_next_item_has_one_example_per_positive_with_what_came_just_before(log):
    events, weight, window, length = log
    examples = examples_of(events, weight, window, "next-item", length)
    assert [row[-1] for row in sequences(examples)] == targets(events, weight, window)
    order = [int(item) for item in events.item if item != NO_ITEM]
    for row in sequences(examples):
        end = order.index(row[-1]) + 1
        assert row == order[max(0, end - length) : end]
    assert all(len(row) == 1 for row in learnt(examples))


@given(logs())
def test_an_event_lies_in_at_most_history_next_item_examples(log):
    """Over all periods of a run together: what the privacy statement says of an interaction."""
    events, weight, window, length = log
    inside: Counter[int] = Counter()
    for part in (
        TrainingWindow(-5, window.start),
        TrainingWindow(window.start, window.end),
        TrainingWindow(window.end, 99),
    ):
        inside.update(item for row in sequences(examples_of(events, weight, part, "next-item", length)) for item in row)
    assert max(inside.values(), default=0) <= length


@given(logs())
def test_disjoint_windows_of_successive_periods_share_no_event(log):
    events, weight, window, length = log
    inside: Counter[int] = Counter()
    for part in (
        TrainingWindow(-5, window.start),
        TrainingWindow(window.start, window.end),
        TrainingWindow(window.end, 99),
    ):
        inside.update(item for row in sequences(examples_of(events, weight, part, "windows", length)) for item in row)
    assert max(inside.values(), default=0) <= 1


@given(logs(), st.sampled_from(["windows", "next-item"]), st.booleans(), st.integers(0, 9))
def test_the_training_window_is_respected(log, kind, disjoint, seed):
    """No event from `end` on appears anywhere; events before `start` are context and never targets."""
    events, weight, window, length = log
    examples = examples_of(events, weight, window, kind, length, disjoint, seed)
    shown = {item for row in sequences(examples) for item in row}
    assert shown <= visible(events, weight, window)
    assert {item for row in learnt(examples) for item in row} <= set(targets(events, weight, window))


@given(logs(), st.sampled_from(["windows", "next-item"]), st.integers(0, 9))
def test_without_privacy_every_positive_is_learnt_once_wherever_windows_begin(log, kind, seed):
    events, weight, window, length = log
    examples = examples_of(events, weight, window, kind, length, False, seed)
    assert sorted(item for row in learnt(examples) for item in row) == targets(events, weight, window)


@given(logs())
def test_examples_hold_the_events_as_they_were(log):
    """Weights and behaviours travel with their items; padding is at the end and empty; nothing useless is kept."""
    events, weight, window, length = log
    examples = examples_of(events, weight, window, "windows", length)
    assert (examples.weight.sum(dim=1) > 0).all()
    for row in range(len(examples)):
        real = examples.real[row].tolist()
        assert real == sorted(real, reverse=True)
        for place, there in enumerate(real):
            item = int(examples.items[row, place])
            if there:
                assert int(examples.behaviour[row, place]) == item % 6
                assert float(examples.weight[row, place]) in (0.0, weight[item])
            else:
                assert (item, float(examples.weight[row, place])) == (0, 0.0)


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 5))
def test_disjoint_windows_are_anchored(count, more, length):
    """Events that arrive later never change an earlier complete window: an example of today is an example of tomorrow."""
    before = sequences(examples_of(history(list(range(count))), length=length))
    after = sequences(examples_of(history(list(range(count + more))), length=length))
    complete = [row for row in before if len(row) == length]
    assert after[: len(complete)] == complete


def test_windows_by_hand():
    rows = sequences(examples_of(history([4, 5, NO_ITEM, 6, 7, 8, 9]), length=3))
    assert rows == [[4, 5, 6], [7, 8, 9]]


def test_older_events_are_no_part_of_disjoint_windows_but_are_context_otherwise():
    events = history([0, 1, 2, 3, 4, 5], times=[0, 1, 2, 10, 11, 12])
    window = TrainingWindow(10, 100)
    assert sequences(examples_of(events, window=window, length=3)) == [[3, 4, 5]]
    loose = [sequences(examples_of(events, window=window, length=4, disjoint=False, seed=seed)) for seed in range(20)]
    assert any(row[-2:] == [2, 3] or row[:2] == [2, 3] for rows in loose for row in rows)
    assert sequences(examples_of(events, window=window, kind="next-item", length=3)) == [
        [1, 2, 3],
        [2, 3, 4],
        [3, 4, 5],
    ]


def test_windows_without_privacy_begin_elsewhere_each_round():
    events = history(list(range(12)))
    starts = {tuple(map(tuple, sequences(examples_of(events, length=4, disjoint=False, seed=s)))) for s in range(30)}
    assert len(starts) == 4


@pytest.mark.parametrize("kind", ["windows", "next-item"])
def test_max_examples_draws_a_subset_anew(kind):
    events = history(list(range(40)))
    whole = {tuple(row) for row in sequences(examples_of(events, kind=kind, length=4))}
    drawn = [
        {tuple(row) for row in sequences(examples_of(events, kind=kind, length=4, seed=seed, max_examples=3))}
        for seed in range(8)
    ]
    assert all(len(rows) == 3 and rows <= whole for rows in drawn)
    assert len(set(map(frozenset, drawn))) > 1


@pytest.mark.parametrize("kind", ["windows", "next-item"])
def test_nothing_to_learn_is_no_example(kind):
    assert len(examples_of(history([]), kind=kind)) == 0
    assert len(examples_of(history([NO_ITEM, NO_ITEM]), kind=kind)) == 0
    assert len(examples_of(history([1, 2, 3]), [0, 0, 0], kind=kind)) == 0
    assert len(examples_of(history([1, 2, 3], [5, 6, 7]), window=TrainingWindow(8, 9), kind=kind)) == 0


@given(logs(), st.sampled_from(["windows", "next-item"]))
def test_every_learnt_position_is_scored(log, kind):
    """All positions of a window; of a next-item example the target's alone."""
    events, weight, window, length = log
    examples = examples_of(events, weight, window, kind, length)
    if kind == "windows":
        assert (examples.place == torch.arange(length)).all()
    else:
        assert examples.place.shape == (len(examples), 1)
        assert torch.equal(examples.place[:, 0], examples.real.sum(dim=1) - 1)
        assert (torch.gather(examples.weight, 1, examples.place) > 0).all()


@given(
    st.lists(logs(), min_size=1, max_size=5),
    st.sampled_from(["windows", "next-item"]),
    st.booleans(),
    st.none() | st.integers(1, 3),
    st.integers(0, 9),
)
def test_several_clients_at_once_are_one_client_after_the_other(logs, kind, disjoint, most, seed):
    """Offsets of windows and the choice of `max_examples` too are each client's own, whoever is built beside it."""
    _, _, window, length = logs[0]
    clients = np.arange(len(logs)) * 3 + seed
    learning = LearningConfig(examples=kind, max_examples=most)
    events = joined([log[0] for log in logs])
    weight = np.where(events.item == NO_ITEM, 0, [w for log in logs for w in log[1]]).astype(np.float32)
    draws = PublicDraws(seed, clients, 1, 2)
    together, counts = build_examples(events, weight, window, learning, length, disjoint, draws)
    alone = [
        build_examples(
            log[0],
            weight[events.offsets[place] : events.offsets[place + 1]],
            window,
            learning,
            length,
            disjoint,
            PublicDraws(seed, clients[place : place + 1], 1, 2),
        )
        for place, log in enumerate(logs)
    ]
    assert counts.tolist() == [len(examples) for examples, _ in alone]
    assert all(own.tolist() == [len(examples)] for examples, own in alone)
    for name in ("items", "behaviour", "real", "weight", "place", "gap"):
        expected = torch.cat([getattr(examples, name) for examples, _ in alone])
        assert torch.equal(getattr(together, name), expected), name
        assert getattr(together, name).dtype == expected.dtype


def alike(clients: int, events: int, seed: int = 0, **learning: object) -> list[list[list[int]]]:
    """The sequences of each of some clients that have the same events, windows of five."""
    several = joined([history(list(range(events)))] * clients)
    examples, counts = build_examples(
        several,
        several.value,
        ALWAYS,
        LearningConfig.model_validate(learning),
        5,
        False,
        PublicDraws(seed, np.arange(clients), 0, 1),
    )
    rows = iter(sequences(examples))
    return [[next(rows) for _ in range(count)] for count in counts]


def test_each_client_draws_where_its_windows_begin():
    """All offsets, about equally often."""
    first = Counter(len(rows[0]) % 5 for rows in alike(1000, 12, examples="windows"))
    assert set(first) == set(range(5))
    # chi-square with 4 degrees of freedom: 18.5 is its 99.9% point
    assert sum((count - 200) ** 2 / 200 for count in first.values()) < 18.5


@pytest.mark.parametrize("kind", ["windows", "next-item"])
def test_each_client_draws_which_examples_it_keeps(kind):
    """Exactly so many, in order, each example about equally often."""
    kept = alike(1000, 10, examples=kind, max_examples=3)
    assert all(len(rows) == (3 if kind == "next-item" else min(3, len(rows))) for rows in kept)
    assert all(rows == sorted(rows, key=lambda row: row[-1]) for rows in kept)
    last = Counter(rows_[-1] for rows in kept for rows_ in rows)
    if kind == "next-item":
        assert set(last) == set(range(10))
        assert all(abs(count - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7) for count in last.values())
    assert len({tuple(map(tuple, rows)) for rows in kept}) > 4


def gaps_of(examples: Examples) -> list[list[int]]:
    return [row[real].tolist() for row, real in zip(examples.gap, examples.real, strict=True)]


def test_gaps_by_hand():
    """To the event before it that has an item, before the window or in it; code 1 is below 4 seconds, 2 below 16, 3 below 64."""
    events = history([0, 1, 2, NO_ITEM, 3, 4], times=[0, 2, 22, 25, 30, 30])
    assert gaps_of(examples_of(events, kind="next-item", disjoint=False)) == [
        [0],
        [0, 1],
        [0, 1, 3],
        [1, 3, 2],
        [3, 2, 1],
    ]
    later = examples_of(events, window=TrainingWindow(10, 99), kind="next-item", length=2, disjoint=False)
    assert gaps_of(later) == [[1, 3], [3, 2], [2, 1]]


@pytest.mark.parametrize("kind", ["windows", "next-item"])
def test_a_private_example_tells_nothing_of_the_events_beside_it(kind):
    """Under an example or interaction unit one more event must not change an example that it does not lie in."""
    events = history([0, 1, 2, 3, 4, 5], times=[0, 1, 2, 40, 50, 51])
    for row in gaps_of(examples_of(events, kind=kind)):
        assert row[0] == 0
    assert gaps_of(examples_of(events, kind=kind))[-1] == [0, 2, 1]


@given(logs(), st.sampled_from(["windows", "next-item"]), st.booleans(), st.integers(0, 9))
def test_times_after_the_window_change_nothing(log, kind, disjoint, seed):
    events, weight, window, length = log
    moved = np.where(events.time < window.end, events.time, events.time + np.arange(len(events)) * 10**6)
    scrambled = Histories.of_one(events.item, moved, events.behaviour, events.value)
    before = examples_of(events, weight, window, kind, length, disjoint, seed)
    after = examples_of(scrambled, weight, window, kind, length, disjoint, seed)
    assert torch.equal(before.gap, after.gap)
    assert torch.equal(before.items, after.items)
    assert not before.gap[~before.real].any()
