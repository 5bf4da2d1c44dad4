"""When a round closes: by hand on a few devices, and against a slow account of the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.population.closing import close_round

NEVER = math.inf


@pytest.mark.parametrize(
    ("takes", "wanted", "in_time", "seconds", "full"),
    [
        ([5, 3, 9], 3, [1, 1, 1], 9, True),
        ([5, 3, 9], 99, [1, 1, 1], 9, True),
        ([5, 3, 9], 2, [1, 1, 0], 5, True),
        ([5, 3, 9], 1, [0, 1, 0], 3, True),
        ([5, NEVER, 9], 3, [1, 0, 1], 60, False),
        ([5, NEVER, 9], 2, [1, 0, 1], 9, True),
        ([5, 61, 60], 3, [1, 0, 1], 60, False),
        ([5, 61, 60], 2, [1, 0, 1], 60, True),
        ([61, 70], 1, [0, 0], 60, False),
        ([NEVER], 1, [0], 60, False),
        ([0, 0, 0], 2, [0, 1, 1], 0, True),
        ([], 2, [], 0, True),
    ],
)
def test_by_hand(takes, wanted, in_time, seconds, full):
    order = np.array([0.9, 0.5, 0.1])[: len(takes)]
    found = close_round(np.array(takes, dtype=float), wanted, 60.0, order)
    assert found.in_time.tolist() == [bool(here) for here in in_time]
    assert (found.seconds, found.full) == (seconds, full)


@given(
    st.lists(st.one_of(st.integers(0, 20), st.just(NEVER)), max_size=12),
    st.integers(1, 12),
    st.integers(1, 20),
    st.integers(0, 5),
)
def test_it_is_what_a_server_would_see_second_by_second(takes, wanted, deadline, seed):
    order = np.random.default_rng(seed).random(len(takes))
    found = close_round(np.array(takes, dtype=float), wanted, float(deadline), order)
    came: list[int] = []
    closed = 0
    if takes:
        for second in range(deadline + 1):
            closed = second
            arriving = [place for place, takes_it in enumerate(takes) if takes_it == second]
            came += sorted(arriving, key=lambda place: order[place])
            if len(came) >= min(wanted, len(takes)):
                break
    assert np.flatnonzero(found.in_time).tolist() == sorted(came[:wanted])
    assert found.seconds == closed
    assert found.full == (len(came) >= min(wanted, len(takes)))
