"""Drawn availability: the shares it promises, at the hours it promises, for each device on its own."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.availability.presence import DAY
from everbloom.availability.slots import Slots
from everbloom.methods import AVAILABILITIES

MANY = np.arange(100_000)


def opened(clients: int = len(MANY), seed: int = 1, **table: object) -> Slots:
    return AVAILABILITIES.parse(table).open(clients, seed)


def within(found: float, probability: float, n: int) -> bool:
    """Five standard deviations of a binomial share: one wrong alarm in two million."""
    return abs(found - probability) <= 5 * math.sqrt(probability * (1 - probability) / n)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.6])
def test_a_constant_share_at_any_hour_and_nobody_bound_to_it(rate):
    slots = opened(name="constant", rate=rate)
    hours = [slots.there(MANY, 3600.0 * hour) for hour in range(12)]
    assert all(within(there.mean(), rate, len(MANY)) for there in hours)
    assert not any(within(there.mean(), wrong, len(MANY)) for there in hours for wrong in (rate * 2 / 3, rate * 1.5))
    both = (hours[0] & hours[1]).mean()
    assert within(both, rate**2, len(MANY)), "an hour says nothing of the next"


def test_everybody_is_there_unless_told_otherwise():
    assert opened(name="constant").there(MANY, 12345.6).all()


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_a_day_follows_the_cosine(hour):
    slots = opened(name="daily", low=0.1, high=0.5, peak_hour=2)
    middle = 3600 * (hour + 0.5)
    expected = 0.1 + 0.4 * (1 + math.cos(2 * math.pi * (middle - 7200) / DAY)) / 2
    assert within(slots.there(MANY, 3600.0 * hour).mean(), expected, len(MANY))
    tomorrow = slots.there(MANY, 3600.0 * hour + DAY)
    assert within(tomorrow.mean(), expected, len(MANY))
    assert (tomorrow != slots.there(MANY, 3600.0 * hour)).any()


def test_time_zones_are_dealt_evenly_and_move_the_peak():
    slots = opened(name="daily", low=0.0, high=1.0, peak_hour=6, time_zones=4, session_seconds=60)
    zone = slots.zone(MANY)
    assert all(within((zone == hours).mean(), 0.25, len(MANY)) for hours in range(4))
    for hours in range(4):
        theirs = MANY[zone == hours]
        assert slots.there(theirs, 3600.0 * (6 - hours)).mean() > 0.9999
        assert slots.there(theirs, 3600.0 * (18 - hours)).mean() < 0.0001


def test_the_whole_world_is_always_as_much_there():
    slots = opened(name="daily", low=0.1, high=0.5, time_zones=24)
    assert all(within(slots.there(MANY, 3600.0 * hour).mean(), 0.3, len(MANY)) for hour in range(0, 24, 5))


def test_within_a_session_nobody_comes_or_goes():
    slots = opened(name="constant", rate=0.5, session_seconds=600)
    first = slots.there(MANY, 1200.0)
    assert np.array_equal(first, slots.there(MANY, 1799.999))
    assert not np.array_equal(first, slots.there(MANY, 1800.0))


@given(st.lists(st.integers(0, 10_000), unique=True, min_size=1), st.floats(0, 1e7), st.integers(0, 9))
def test_a_device_depends_on_nobody_else(clients, at, seed):
    slots = opened(seed=seed, name="daily", low=0.2, high=0.8, time_zones=5)
    asked = np.array(clients)
    assert np.array_equal(slots.there(asked, at), slots.there(np.arange(10_001), at)[asked])


@given(st.integers(0, 1000), st.floats(0, 1e6), st.sampled_from([60, 601, 3600]))
def test_the_next_time_is_the_first_at_which_somebody_is_there(client, at, length):
    slots = opened(name="constant", rate=0.2, session_seconds=length)
    asked = np.array([client])
    found = slots.next_time(asked, at)
    assert found >= at
    assert slots.there(asked, found).all()
    if found > at:
        assert found % length == 0
        before = np.arange(math.floor(at / length), round(found / length)) * float(length)
        assert not any(slots.there(asked, earlier).any() for earlier in before)


def test_who_will_not_come_in_a_year_never_comes():
    assert opened(name="constant", rate=1e-12).next_time(np.arange(3), 100.0) == math.inf


def test_a_million_at_once():
    slots = opened(clients=1_000_000, name="daily", time_zones=12)
    everybody = np.arange(1_000_000)
    slots.there(everybody, 0.0)
    took = []
    for hour in range(3):
        began = time.process_time()
        slots.there(everybody, 3600.0 * hour)
        took.append(time.process_time() - began)
    assert min(took) < 0.5, "a loop over users would take seconds"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"name": "daily", "low": 0.5, "high": 0.2}, r"low 0\.5 is more than high 0\.2"),
        ({"name": "daily", "high": 0}, "greater than 0"),
        ({"name": "constant", "rate": 0}, "greater than 0"),
        ({"name": "constant", "rate": 1.1}, "less than or equal to 1"),
        ({"name": "daily", "peak_hour": 24}, "less than 24"),
    ],
)
def test_impossible_settings(table, told):
    with pytest.raises(ValueError, match=told):
        AVAILABILITIES.parse(table)
