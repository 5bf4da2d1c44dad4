"""A log that grows by clicks, seen by the federation one period at a time."""

import numpy as np
import pytest

from everbloom.data.events import BEHAVIOURS
from everbloom.data.timeline import positive_weights
from simulation.feedback.growth import STEP_SECONDS, Clicks, Growth

CLICKS = Clicks(np.array([3, 3, 0]), np.array([7, 2, 2], dtype=np.int32), np.array([0, 4, 1]))


@pytest.fixture
def growth(opened) -> Growth:
    return Growth(opened(), steps=3, step_rounds=2)


def test_the_warm_start_holds_nothing_of_the_future(growth, opened):
    whole, warm = opened().dataset.events, growth.warm_start()
    assert warm.dataset.events.users == whole.users
    assert len(warm.dataset.events) == (whole.time < growth.start).sum()
    assert warm.dataset.events.time.max() < growth.start
    for user in range(whole.users):
        own = whole.of(user)
        assert warm.dataset.events.of(user).item.tolist() == own.item[own.time < growth.start].tolist()
    assert warm.timeline.periods == 1
    assert warm.timeline.window(0) == opened().timeline.window(0)


def test_clicks_become_the_next_period_and_nothing_else_is_learnt_in_it(growth):
    warm = growth.warm_start()
    first = growth.after(1, warm.dataset.events, CLICKS)
    second = growth.after(2, first.dataset.events, Clicks(np.array([5]), np.array([1], dtype=np.int32), np.array([2])))
    assert first.timeline.periods == 2
    assert second.timeline.periods == 3
    assert not first.timeline.has(1, "validation")
    assert not first.timeline.has(1, "test")
    for study, period, expected in (
        (first, 1, [(0, 2, 1), (3, 7, 0), (3, 2, 4)]),
        (second, 2, [(5, 1, STEP_SECONDS + 2)]),
    ):
        log = study.dataset.events
        histories = log.histories(np.arange(log.users))
        _, begin, end = study.timeline.window(period).rows(
            histories, positive_weights(histories, study.experiment.data)
        )
        rows = np.concatenate([np.arange(*pair) for pair in zip(begin, end, strict=True)])
        found = zip(log.user[rows], log.item[rows], log.time[rows] - growth.start, strict=True)
        assert [tuple(map(int, row)) for row in found] == expected
        assert (log.behaviour[rows] == BEHAVIOURS.index("click")).all()


def test_every_step_has_the_plan_of_the_whole_loop(opened):
    growth = Growth(
        opened('privacy={unit="user",epsilon=8,delta=1e-3}', 'federation.sampler="poisson"'), steps=3, step_rounds=2
    )
    warm = growth.warm_start()
    later = growth.after(1, warm.dataset.events, CLICKS)
    assert warm.plan is not None
    assert warm.plan == later.plan
    assert warm.plan.max_participations == warm.rounds == later.rounds == 3 + 2 * 2
    assert warm.terms == later.terms


def test_the_next_period_begins_anew_with_what_was_spent(opened):
    from server.federation import initial_state
    from server.state import Best

    study = opened()
    state = initial_state(study)
    state.participations[:] = 4
    state.round, state.stopped, state.stale, state.best = 3, True, 2, Best(0.5, 1, state.parameters)
    state.next_period()
    assert (state.period, state.round, state.stopped, state.stale, state.best) == (1, 0, False, 0, None)
    assert (state.participations == 4).all()
