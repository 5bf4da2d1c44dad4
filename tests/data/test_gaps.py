"""Codes of the time since the event before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.data.gaps import GAP_CODES, gap_codes, gaps_before

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86_400, 31_557_600


def test_codes_by_hand():
    """Each power of four begins the next code; from about eight and a half years on there is one for all."""
    seconds = np.array([0, 3, 4, 15, 16, MINUTE, HOUR, DAY, 7 * DAY, YEAR, 4**14 - 1, 4**14, 100 * YEAR])
    assert gap_codes(seconds).tolist() == [1, 1, 2, 2, 3, 3, 6, 9, 10, 13, 14, 15, 15]
    assert GAP_CODES == 16


@given(st.lists(st.integers(0, 2**62), min_size=1))
def test_longer_gaps_have_no_smaller_codes(seconds):
    codes = gap_codes(np.sort(np.array(seconds)))
    assert (np.diff(codes) >= 0).all()
    assert codes[0] >= 1
    assert codes[-1] < GAP_CODES


@given(st.lists(st.lists(st.integers(-(10**9), 10**9), max_size=6), max_size=5))
def test_each_users_first_event_has_none_before_it(times):
    """Whoever comes before this user in the columns, and those who have no events among them."""
    users = [sorted(one) for one in times]
    time = np.array([at for one in users for at in one], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, users)])
    expected = [
        0 if place == 0 else int(gap_codes(np.array(at - one[place - 1])))
        for one in users
        for place, at in enumerate(one)
    ]
    assert gaps_before(time, offsets).tolist() == expected


@pytest.mark.parametrize("offsets", [[0], [0, 0, 0]])
def test_no_events(offsets):
    assert gaps_before(np.zeros(0, dtype=np.int64), np.array(offsets)).tolist() == []
