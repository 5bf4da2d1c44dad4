"""One key sorts as two do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.data.ordering import by_user_and_time

HUGE = np.iinfo(np.int64).max


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-4, 4)), max_size=50),
    st.sampled_from([(1, 0), (2**58, 0), (1, HUGE - 4), (2**60, 2**60)]),
)
def test_equals_a_stable_sort_by_time_and_then_by_user(events, scale):
    user = np.array([row[0] for row in events], dtype=np.int32)
    time = np.array([row[1] * scale[0] + scale[1] for row in events], dtype=np.int64)
    expected = sorted(range(len(events)), key=lambda row: (user[row], time[row]))
    assert by_user_and_time(user, time).tolist() == expected


@pytest.mark.parametrize("ends", [(-HUGE - 1, HUGE), (0, HUGE)])
def test_times_that_no_key_can_hold(ends):
    user, time = np.array([1, 0, 1, 0], dtype=np.int32), np.array([*ends[::-1], *ends], dtype=np.int64)
    assert by_user_and_time(user, time).tolist() == [1, 3, 2, 0]
