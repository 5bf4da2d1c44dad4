"""Which old events a device rehearses: no more than its budget, by weight, each device by its own draw."""

import numpy as np
import pytest

from everbloom.config import LearningConfig
from everbloom.data.events import Histories
from everbloom.data.timeline import TrainingWindow
from everbloom.learning.examples import build_examples
from everbloom.learning.rehearsal import old_examples, rehearsed
from everbloom.methods import CONTINUAL_METHODS
from everbloom.seeding import PublicDraws, keys

WINDOW = TrainingWindow(start=100, end=200)


def histories(sizes, new=2):
    """Users with so many old events, one a second before the window, and `new` in it."""
    times = [np.concatenate((100 - size + np.arange(size), 150 + np.arange(new))) for size in sizes]
    time = np.concatenate(times).astype(np.int64)
    count = len(time)
    offsets = np.concatenate(([0], np.cumsum([len(one) for one in times])))
    item = np.arange(count, dtype=np.int32) % 50
    return Histories(item, time, np.zeros(count, dtype=np.uint8), np.ones(count, dtype=np.float32), offsets)


def replay(**options):
    """A device rehearses its whole budget unless a test says otherwise."""
    method = CONTINUAL_METHODS.parse({"name": "replay", **options})
    return method if "ratio" in options else method.model_copy(update={"ratio": None})


def chosen(method, events, round=1, losses=None, weight=None):
    weight = np.ones(len(events), dtype=np.float32) if weight is None else weight
    own = keys(7, "replay", np.arange(events.users), period=1, round=round)
    return rehearsed(method, events, weight, WINDOW, own, losses or never)


def never():
    raise AssertionError("this choice depends on no loss")


def test_at_most_the_budget_of_old_positives():
    events = histories([0, 3, 50, 5])
    weight = np.ones(len(events), dtype=np.float32)
    weight[10] = 0
    events.item[20] = -1
    taken = chosen(replay(budget=5), events, weight=weight)
    counts = [int(taken[start:end].sum()) for start, end in zip(events.offsets[:-1], events.offsets[1:], strict=True)]
    assert counts == [0, 3, 5, 5]
    assert not taken[events.time >= WINDOW.start].any()
    assert not taken[[10, 20]].any()


def test_a_device_rehearses_in_proportion_to_its_news():
    events = histories([50, 50, 3], new=9)
    weight = np.ones(len(events), dtype=np.float32)
    weight[events.offsets[1] + 50 : events.offsets[2]] = 0  # no news
    taken = chosen(replay(budget=20, ratio=0.5), events, weight=weight)
    counts = [int(taken[start:end].sum()) for start, end in zip(events.offsets[:-1], events.offsets[1:], strict=True)]
    assert counts == [5, 0, 3]
    assert chosen(replay(budget=4, ratio=1.0), events)[: events.offsets[1]].sum() == 4


def test_each_round_draws_anew_and_each_device_by_itself():
    events = histories([40, 40, 40])
    first, second = chosen(replay(budget=5), events), chosen(replay(budget=5), events, round=2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[:40], first[42:82])
    alone = Histories(
        *(column[42:84] for column in (events.item, events.time, events.behaviour, events.value)), np.array([0, 42])
    )
    own = keys(7, "replay", np.array([1]), period=1, round=1)
    weight = np.ones(42, dtype=np.float32)
    assert np.array_equal(rehearsed(replay(budget=5), alone, weight, WINDOW, own, never), first[42:84])


@pytest.mark.parametrize("choice", ["uniform", "surprise"])
def test_chances_are_in_proportion_to_the_weights(choice):
    """With a budget of one, an event is drawn with its share of the weights, as a weighted draw without replacement begins."""
    users, size = 20_000, 4
    events = histories([size] * users, new=0)
    shares = np.array([1, 1, 1, 1]) if choice == "uniform" else np.array([1, 2, 3, 4])
    losses = np.tile(shares.astype(np.float32), users)
    taken = chosen(replay(budget=1, choice=choice), events, losses=lambda: losses)
    found = taken.reshape(users, size).mean(axis=0)
    assert found.sum() == 1
    assert found == pytest.approx(shares / shares.sum(), abs=4 * np.sqrt(0.25 / users))


@pytest.mark.parametrize("choice", ["uniform", "recency", "surprise"])
def test_one_more_old_event_pushes_out_at_most_one_other(choice):
    """What replay's sensitivity of two clip norms rests on: at most one example in and one out, whatever the weights."""
    method, changed = replay(budget=6, choice=choice, half_life_days=0.001), 0
    for round in range(1, 40):
        fewer, more = histories([30], new=0), histories([31], new=0)
        more.time[:30] = fewer.time  # the new one comes last, so the others keep their draws
        more.time[30] = 99
        losses = np.random.default_rng(round).random(31).astype(np.float32) * 9
        before = set(np.flatnonzero(chosen(method, fewer, round, losses=lambda: losses[:30])))  # noqa: B023
        after = set(np.flatnonzero(chosen(method, more, round, losses=lambda: losses)))  # noqa: B023
        assert after - before <= {30}
        assert len(before - after) == len(after - before)
        changed += before != after
    assert 0 < changed < 39


def test_one_more_new_event_brings_at_most_one_old_one_in():
    method = replay(budget=9, ratio=0.7)
    most = method.most(np.arange(40))
    assert most[0] == 0
    assert set(np.diff(most)) == {0, 1}
    assert most.max() == 9


@pytest.mark.parametrize("kind", ["next-item", "windows"])
def test_what_is_rehearsed_is_learnt_beside_the_new(kind):
    events = histories([30, 0], new=3)
    taken = chosen(replay(budget=4), events)
    learning = LearningConfig(examples=kind)
    weight = np.ones(len(events), dtype=np.float32)
    draws = PublicDraws(1, np.arange(2), 1, 1)
    examples, _ = build_examples(events, weight, WINDOW, learning, 8, False, draws, taken)
    learnt = np.sort(examples.items[examples.weight > 0].numpy())
    wanted = events.item[taken | (events.time >= WINDOW.start)]
    assert np.array_equal(learnt, np.sort(wanted))


def test_old_examples_are_one_for_each_old_event_in_order():
    events = histories([5, 0, 3])
    weight = np.ones(len(events), dtype=np.float32)
    examples, counts = old_examples(
        events,
        weight,
        WINDOW,
        LearningConfig(examples="windows", max_examples=1),
        4,
        PublicDraws(1, np.arange(3), 1, 1),
    )
    assert counts.tolist() == [5, 0, 3]
    targets = examples.items.gather(1, examples.place).squeeze(1).numpy()
    assert np.array_equal(targets, events.item[events.time < WINDOW.start])
