"""The event log: sorted, with right offsets, views and not copies, the same after saving."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.data.events import BEHAVIOURS, EventLog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError

rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(-1, 6), st.integers(-50, 50), st.integers(0, len(BEHAVIOURS) - 1)),
    max_size=60,
)


COLUMNS = ("item", "time", "behaviour", "value")


def log_of(events, ties="file", with_time=True, text=None):
    user, item, time, behaviour = (np.array([row[i] for row in events], dtype=np.int64) for i in range(4))
    return EventLog.build(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        time=time if with_time else None,
        behaviour=behaviour.astype(np.uint8),
        value=np.arange(len(events), dtype=np.float32),  # the place in the file, to recognise a row by
        user_ids=StringColumn.of(f"user-{index}" for index in range(5)),
        text=text,
        ties=ties,
    )


@given(rows, st.sampled_from(["file", "reverse-file"]))
def test_rows_are_sorted_and_offsets_delimit_users(events, ties):
    log = log_of(events, ties)
    sign = 1 if ties == "file" else -1
    expected = sorted(range(len(events)), key=lambda row: (events[row][0], events[row][2], sign * row))
    assert log.value.astype(int).tolist() == expected
    assert log.users == 5
    assert len(log) == len(events)
    for user in range(5):
        own = [row for row in expected if events[row][0] == user]
        view = log.of(user)
        assert view.item.tolist() == [events[row][1] for row in own]
        assert view.time.tolist() == [events[row][2] for row in own]
        assert view.behaviour.tolist() == [events[row][3] for row in own]
        assert (log.user[log.rows(user)] == user).all()


@given(rows)
def test_without_time_the_order_of_the_file_is_the_time(events):
    log = log_of(events, with_time=False)
    assert not log.has_time
    with pytest.raises(DataError, match=r"model\.user\.gaps: needs timestamps, and this log has only an order"):
        log.check_time("model.user.gaps")
    for user in range(5):
        own = [row for row in range(len(events)) if events[row][0] == user]
        assert log.of(user).value.astype(int).tolist() == own
        assert log.of(user).time.tolist() == list(range(len(own)))


@given(rows)
def test_by_time_lists_all_rows_by_global_time(events):
    log = log_of(events)
    assert sorted(log.by_time.tolist()) == list(range(len(events)))
    assert (np.diff(log.time[log.by_time]) >= 0).all()


@given(rows, st.integers(-60, 60))
def test_rows_before_a_time_are_a_prefix_of_each_user(events, time):
    log = log_of(events)
    for user, end in enumerate(log.rows_before(time, np.arange(log.users))):
        start = log.offsets[user]
        assert end - start == sum(1 for row in events if row[0] == user and row[2] < time)


def test_a_users_events_are_views():
    log = log_of([(0, 1, 5, 0), (1, 2, 3, 1), (0, 3, 1, 0)])
    for name in COLUMNS:
        assert np.shares_memory(getattr(log.of(0), name), getattr(log, name))


@given(rows, st.lists(st.integers(0, 4), max_size=8))
def test_several_users_histories_are_theirs_one_after_the_other(events, users):
    """In the order asked for, a user twice if asked for twice."""
    log = log_of(events)
    several = log.histories(np.array(users, dtype=np.int64))
    assert several.users == len(users)
    assert several.offsets[0] == 0
    assert several.offsets[-1] == len(several) == sum(len(log.of(user)) for user in users)
    for place, user in enumerate(users):
        alone = log.of(user)
        assert (alone.users, alone.offsets.tolist()) == (1, [0, len(alone)])
        for name in COLUMNS:
            found = getattr(several, name)[several.offsets[place] : several.offsets[place + 1]]
            np.testing.assert_array_equal(found, getattr(alone, name))
            assert found.dtype == getattr(alone, name).dtype


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20))
def test_a_saved_log_opens_memory_mapped_and_equal(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("log")
    log = log_of([(index % 5, index, -index, 6) for index in range(len(texts))], text=texts)
    log.save(folder)
    again = EventLog.open(folder)
    for name in ("user", "item", "time", "behaviour", "value", "offsets", "by_time"):
        np.testing.assert_array_equal(getattr(again, name), getattr(log, name))
        assert isinstance(getattr(again, name), np.memmap)
    assert list(again.user_ids) == list(log.user_ids)
    assert again.text is not None
    assert list(again.text) == [texts[int(place)] for place in log.value]
    assert np.shares_memory(again.of(0).item, again.item)


def test_what_is_no_log_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"no event log here \(events.json is missing\)"):
        EventLog.open(tmp_path)
    log_of([(0, 1, 5, 0)]).save(tmp_path)
    header = tmp_path / "events.json"
    header.write_text(header.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(DataError, match="written by another version"):
        EventLog.open(tmp_path)
