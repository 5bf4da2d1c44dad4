"""Who is there when, and who only measures."""

import numpy as np
import pytest

from everbloom.data.events import EventLog
from everbloom.data.membership import NEVER, Membership
from everbloom.data.strings import StringColumn

BOUNDARIES = np.array([0, 10, 20, 30, 40])


def log_of(first_times):
    users = np.repeat(np.arange(len(first_times)), 2)
    times = np.stack([first_times, np.asarray(first_times) + 1], axis=1).ravel()
    rows = len(users)
    return EventLog.build(
        user=users.astype(np.int32),
        item=np.zeros(rows, dtype=np.int32),
        time=times.astype(np.int64),
        behaviour=np.zeros(rows, dtype=np.uint8),
        value=np.ones(rows, dtype=np.float32),
        user_ids=StringColumn.of([str(user) for user in range(len(first_times))]),
    )


def test_users_join_with_their_first_event():
    members = Membership.of(log_of([0, 9, 10, 25, 39]), BOUNDARIES, panel=0, deletion_rate=0, seed=1)
    assert members.joins.tolist() == [0, 0, 1, 2, 3]
    assert (members.leaves == NEVER).all()
    assert not members.loses_users
    everybody = np.arange(5)
    assert members.there(everybody, 1).tolist() == [True, True, True, False, False]
    assert members.trainers.tolist() == everybody.tolist()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_panel_is_a_seeded_share(share):
    log = log_of([0] * 1000)
    members = Membership.of(log, BOUNDARIES, share, 0, seed=1)
    assert members.panel.sum() == 1000 * share
    assert np.array_equal(members.panel, Membership.of(log, BOUNDARIES, share, 0, seed=1).panel)
    assert share == 0 or not np.array_equal(members.panel, Membership.of(log, BOUNDARIES, share, 0, seed=2).panel)
    assert np.array_equal(np.flatnonzero(~members.panel), members.trainers)


def test_the_share_that_leaves_is_of_those_who_are_still_there():
    members = Membership.of(log_of([0] * 20_000 + [15] * 20_000), BOUNDARIES, 0, deletion_rate=0.2, seed=1)
    assert members.loses_users
    assert (members.leaves > members.joins).all()  # one period at least
    for joined in (0, 1):
        leaves = members.leaves[members.joins == joined]
        for period in range(joined + 1, 6):
            there = leaves >= period
            left = (leaves[there] == period).mean()
            assert left == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / there.sum()))
