"""Places and ticks."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from everbloom.report.charts.scale import Scale, headroom, nice_ticks, short, whole_ticks

FINITE = st.floats(-1e9, 1e9)


@given(FINITE, FINITE)
def test_ticks_are_few_evenly_spaced_and_inside(a, b):
    low, high = sorted((a, b))
    assume(high - low > 1e-3 * max(1.0, abs(low), abs(high)))
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    steps = [after - before for before, after in pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-6)
    margin = 1e-6 * (high - low)
    assert low - margin <= ticks[0] <= ticks[-1] <= high + margin


def test_scales_are_linear_or_logarithmic_and_take_a_single_value():
    assert Scale(0, 10, 100, 200)(5) == 150
    assert Scale(1, 100, 0, 10, log=True)(10) == pytest.approx(5)
    assert Scale(4, 4, 0, 10)(4) == 5


def test_rounds_have_whole_ticks():
    assert whole_ticks(0, 3) == [0, 1, 2, 3]
    assert whole_ticks(7, 7) == [7]


def test_there_is_room_above_and_zero_below():
    low, high = headroom([0.2, 0.4])
    assert low == 0
    assert high > 0.4
    assert headroom([]) == (0, 1)
    assert headroom([-0.1])[0] < -0.1


def test_labels_are_short():
    assert [short(value) for value in (0.25, 1000.0, 1.5e6, 2e9, -3.0)] == ["0.25", "1,000", "1.5M", "2G", "-3"]
