"""Which search was the last before an event: checked against going through a history one event after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from everbloom.data.events import BEHAVIOURS, NO_ITEM, EventLog
from everbloom.data.searches import coded, searches_before
from everbloom.data.strings import StringColumn

HISTORIES = st.lists(st.lists(st.sampled_from(["item", "a", "b", "c", "no-item"]), max_size=8), min_size=1, max_size=5)


@given(HISTORIES)
def test_each_search_is_told_of_the_next_event_alone(histories):
    flat = [event for history in histories for event in history]
    offsets = np.cumsum([0, *map(len, histories)])
    code = np.array([" abc".find(event) if event in ("a", "b", "c") else 0 for event in flat], dtype=np.int32)
    rows = np.array([row for row, event in enumerate(flat) if event == "item"], dtype=np.int64)
    before, after = searches_before(code, rows, offsets)
    expected, last = [], []
    for history in histories:
        newest = 0
        for event in history:
            if event == "item":
                expected.append(newest)
                newest = 0
            elif event != "no-item":
                newest = " abc".find(event)
        last.append(newest)
    assert before.tolist() == expected
    assert after.tolist() == last


def test_equal_texts_have_one_code():
    found = coded(np.array([1, 2, 4]), ["shoes", "a hat", "shoes"], 5)
    assert found.texts == ("a hat", "shoes")
    assert found.code.tolist() == [0, 2, 1, 0, 2]


def log_of(texts: list[str] | None) -> EventLog:
    search = BEHAVIOURS.index("search")
    return EventLog.build(
        user=np.array([1, 0, 1, 1], dtype=np.int32),
        item=np.array([NO_ITEM, 3, NO_ITEM, 5], dtype=np.int32),
        time=np.array([1, 2, 2, 3]),
        behaviour=np.array([search, 0, search, 4], dtype=np.uint8),
        value=np.ones(4, dtype=np.float32),
        user_ids=StringColumn.of(["u", "v"]),
        text=texts,
    )


def test_a_log_tells_its_searches_and_histories_theirs():
    log = log_of(["hat", "", "shoes", ""])
    assert log.searches.texts == ("hat", "shoes")
    assert log.searches.code.tolist() == [0, 1, 2, 0]
    assert log.of(1).search.tolist() == [1, 2, 0]
    assert log.histories(np.array([1, 0])).search.tolist() == [1, 2, 0, 0]


def test_a_log_without_texts_has_none():
    log = log_of(None)
    assert log.searches.texts == ()
    assert not log.searches.code.any()
    assert log.of(1).search is None
    assert log.histories(np.array([0])).search is None
