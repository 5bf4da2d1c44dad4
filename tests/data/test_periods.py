"""Cuts found by binary search are those of a look at every event."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.config import ProtocolConfig
from everbloom.data.events import EventLog
from everbloom.data.periods import period_boundaries
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError


def log_of(times: list[int]) -> EventLog:
    return EventLog.build(
        user=np.zeros(len(times), dtype=np.int32),
        item=np.zeros(len(times), dtype=np.int32),
        time=np.array(times, dtype=np.int64),
        behaviour=np.zeros(len(times), dtype=np.uint8),
        value=np.ones(len(times), dtype=np.float32),
        user_ids=StringColumn.of(["u"]),
    )


def by_looking_at_all(times: list[int], unit: str) -> list[int]:
    """First seconds of the months or weeks with events, the first one left out."""
    days = np.array(times).astype("datetime64[s]")
    if unit == "month":
        starts = days.astype("datetime64[M]")
    else:
        starts = days.astype("datetime64[D]")
        starts = starts - (starts.astype(int) + 3) % 7
    return np.unique(starts.astype("datetime64[s]").astype(int)).tolist()[1:]


@given(st.lists(st.integers(-(10**8), 2 * 10**9), min_size=2, max_size=40), st.sampled_from(["month", "week"]))
def test_calendar_cuts(times, unit):
    expected = by_looking_at_all(times, unit)
    if not expected:
        with pytest.raises(DataError, match="too short"):
            period_boundaries(log_of(times), ProtocolConfig(cut=unit))
        return
    found = period_boundaries(log_of(times), ProtocolConfig(cut=unit))
    assert found.tolist() == [min(times), *expected, max(times) + 1]


@given(st.lists(st.integers(0, 60), min_size=2, max_size=40), st.integers(2, 5))
def test_cuts_by_counts(times, periods):
    ordered, share = sorted(times), 0.5
    places = [int(np.floor(f * len(times))) for f in np.linspace(share, 1, periods)[:-1]]
    expected = sorted({ordered[place] for place in places} - {ordered[0]})
    protocol = ProtocolConfig(cut="counts", periods=periods, warm_start=share)
    if not expected:
        with pytest.raises(DataError, match="too short"):
            period_boundaries(log_of(times), protocol)
        return
    assert period_boundaries(log_of(times), protocol).tolist() == [ordered[0], *expected, ordered[-1] + 1]


def test_a_log_that_begins_with_a_month_has_no_empty_warm_start():
    february = int(np.datetime64("1970-02-01", "s").astype(int))
    found = period_boundaries(log_of([0, 0, 0, february]), ProtocolConfig(cut="month", warm_start=0.3))
    assert found.tolist() == [0, february, february + 1]


def test_an_origin_is_one_of_the_periods():
    protocol = ProtocolConfig(cut="counts", periods=4, origin=3)
    assert period_boundaries(log_of(list(range(40))), protocol).tolist() == [0, 30, 40]
    with pytest.raises(DataError, match=r"protocol.origin: 4 is no period; the last one is 3"):
        period_boundaries(log_of(list(range(40))), protocol.model_copy(update={"origin": 4}))
