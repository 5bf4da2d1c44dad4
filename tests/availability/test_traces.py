"""Traces: who they say is there, and one line that names file, line and remedy for everything that can be wrong in them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everbloom.availability.trace import TracePresence
from everbloom.errors import DataError
from everbloom.methods import AVAILABILITIES

NIGHT = """client,start,end
0,0,100
1,50,80
0,300,400
1,80,90
2,0,1000
"""


@pytest.fixture
def presence(tmp_path):
    """(text, clients, cycle, seed) -> the trace's presence."""

    def read(text: str, clients: int = 3, cycle: float = 1000, seed: int = 1) -> TracePresence:
        (tmp_path / "trace.csv").write_text(text)
        table = {"name": "trace", "path": str(tmp_path / "trace.csv"), "cycle_seconds": cycle}
        return AVAILABILITIES.parse(table).open(clients, seed)

    return read


def who(found: TracePresence, at: float, clients: int = 3) -> list[int]:
    return np.flatnonzero(found.there(np.arange(clients), at)).tolist()


@pytest.mark.parametrize(
    ("at", "there"),
    [
        (0, [0, 2]),
        (49.9, [0, 2]),
        (50, [0, 1, 2]),
        (80, [0, 1, 2]),
        (90, [0, 2]),
        (100, [2]),
        (300, [0, 2]),
        (999.9, [2]),
    ],
)
def test_a_trace_is_followed_and_repeats(presence, at, there):
    found = presence(NIGHT)
    assert who(found, at) == there
    assert who(found, at + 7000) == there


def test_until_when_they_stay(presence):
    found = presence(NIGHT)
    assert found.until(np.array([1, 0]), 2060.0).tolist() == [2090.0, 2100.0], "intervals that touch are one"
    assert found.until(np.array([2]), 2060.0).tolist() == [math.inf]


def test_an_interval_goes_on_across_the_end_of_the_cycle(presence):
    found = presence("client,start,end\n0,0,100\n0,900,1000\n", clients=1)
    assert found.until(np.array([0]), 1950.0).tolist() == [2100.0]
    assert found.until(np.array([0]), 2050.0).tolist() == [2100.0]


def test_the_next_time(presence):
    found = presence(NIGHT)
    assert found.next_time(np.array([0, 1]), 100.0) == 300.0
    assert found.next_time(np.array([1]), 100.0) == 1050.0
    assert found.next_time(np.array([2, 1]), 100.0) == 100.0
    assert found.next_time(np.array([0]), 450.0) == 1000.0


@settings(max_examples=300)
@given(st.floats(0, 1e8), st.sampled_from([0.0, 0.1, 33.333333333, 86399.9, 86399.9999996, 7.1]), st.floats(1, 1e6))
def test_at_the_next_time_somebody_is_there_whatever_is_lost_in_rounding(tmp_path_factory, at, start, length):
    path = tmp_path_factory.getbasetemp() / "one.csv"
    path.write_text(f"client,start,end\n0,{start},{min(start + length, 86401)}\n")
    found = AVAILABILITIES.parse({"name": "trace", "path": str(path), "cycle_seconds": 86401}).open(1, 0)
    then = found.next_time(np.array([0]), at)
    assert found.there(np.array([0]), then).all()
    assert at <= then <= at + 86401 + 1e-6
    assert found.until(np.array([0]), then)[0] > then


def test_profiles_are_dealt_evenly_by_the_seed(presence):
    text = "profile,start,end,seconds_per_example\n0,0,10,0.5\n1,20,30,1.5\n2,40,50,2.5\n3,60,70,0\n"
    found = presence(text, clients=40_000)
    everybody = np.arange(40_000)
    shares = [found.there(everybody, at).mean() for at in (5, 25, 45, 65)]
    assert sum(shares) == pytest.approx(1)
    assert all(abs(share - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 40_000) for share in shares)
    speeds = found.seconds_per_example(everybody)
    assert set(speeds[found.there(everybody, 25)]) == {1.5}
    other = presence(text, clients=40_000, seed=2)
    assert not np.array_equal(found.row(everybody), other.row(everybody))


def test_speeds_are_the_trace_s_own(presence):
    found = presence("client,start,end,seconds_per_example\n1,0,5,2\n0,0,5,3\n1,7,8,2\n", clients=2)
    assert found.seconds_per_example(np.array([1, 0, 1])).tolist() == [2, 3, 2]
    assert presence(NIGHT).seconds_per_example(np.array([1])) is None


def test_more_rows_than_the_experiment_has_clients_are_no_mistake(presence):
    assert who(presence(NIGHT, clients=2), 50, clients=2) == [0, 1]


HEAD = "client,start,end\n"
WRONG = {
    "not in order": (HEAD + "0,500,600\n0,100,200\n", "line 3: client 0 from 100 to 200, out of order with 500 to 600 on line 2; expected"),
    "overlapping": (HEAD + "1,0,5\n0,0,50\n0,60,70\n1,5,9\n0,69,80\n", "line 6: client 0 from 69 to 80, overlapping 60 to 70 on line 4; expected"),
    "the first of two slips": (HEAD + "1,0,50\n1,40,60\n0,0,50\n0,40,60\n", "line 3: client 1 from 40 to 60, overlapping 0 to 50 on line 2"),
    "end before start": (HEAD + "0,0,50\n0,90,60\n", "line 3: end 60 is not after start 90; write an interval across the cycle's end as two"),
    "empty interval": (HEAD + "0,50,50\n", "line 2: end 50 is not after start 50"),
    "beyond the cycle": (HEAD + "0,50,1001\n", "line 2: 50 to 1001 does not lie within 0 and the cycle's 1000 seconds"),
    "before the cycle": (HEAD + "0,-5,10\n", "line 2: -5 to 10 does not lie within 0"),
    "no column": ("client,begin,end\n0,0,1\n", "no column 'start'; the columns are: client, begin, end"),
    "no client column": ("user,start,end\n0,0,1\n", "no column 'client'; the columns are: user, start, end"),
    "a word": (HEAD + "0,0,1\n0,two,3\n", "line 3: start 'two' is not a number; expected seconds into the cycle"),
    "nothing": (HEAD + "0,0,1\n0,,3\n", "line 3: start '' is not a number"),
    "infinite": (HEAD + "0,0,inf\n", "line 2: end 'inf' is not a number"),
    "a blank line": (HEAD + "0,0,1\n\n1,0,1\n", "line 3: client '' is not a number; expected the number of a client: 0, 1, 2, ..."),
    "too few values": (HEAD + "0,0,1\n0,3\n", "line 3: end '' is not a number"),
    "too many values": (HEAD + "0,0,1\n0,3,4,5\n", "line 3"),
    "a name": (HEAD + "anna,0,1\n", "line 2: client 'anna' is not a number"),
    "half a client": (HEAD + "0,0,1\n1.5,0,1\n", "line 3: client 1.5; expected the number of a client: 0, 1, 2, ..."),
    "a negative client": (HEAD + "-1,0,1\n", "line 2: client -1; expected the number"),
    "a hole": (HEAD + "0,0,1\n2,0,1\n3,0,1\n", "line 3: client 2, but client 1 has no row; expected every number from 0 on: add it, or number them"),
    "a large hole": (HEAD + "0,0,1\n1,0,1\n1000000,0,1\n", "line 4: client 1000000, but client 2 has no row"),
    "no zero": (HEAD + "1,0,1\n2,0,1\n", "line 2: client 1, but client 0 has no row"),
    "not covered": (HEAD + "0,0,1\n1,0,1\n", "line 3: the trace ends with client 1, the experiment has clients 0 to 2; expected rows for each"),
    "only a header": (HEAD, "line 1: no row after the header"),
    "empty": ("", "empty; expected a header line or rows"),
    "two speeds": ("client,start,end,seconds_per_example\n0,0,1,2\n0,3,4,5\n", "line 3: seconds_per_example 5 for client 0, but 2 on line 2"),
    "a negative speed": ("client,start,end,seconds_per_example\n0,0,1,-2\n", "line 2: seconds_per_example -2 is negative"),
    "a hole in the profiles": ("profile,start,end\n0,0,1\n2,0,1\n", "line 3: profile 2, but profile 1 has no row"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_mistakes_are_one_line_that_names_the_place(presence, tmp_path, kind):
    text, told = WRONG[kind]
    with pytest.raises(DataError) as caught:
        presence(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'trace.csv'}: {'' if kind == 'too many values' else told}")
    assert told in str(caught.value)


def test_no_such_file():
    with pytest.raises(DataError, match=r"none\.csv: no such trace; check population\.availability\.path"):
        AVAILABILITIES.parse({"name": "trace", "path": "none.csv"}).open(3, 0)


def test_a_byte_order_mark_and_spaces_are_read_over(presence):
    assert who(presence("\ufeffclient, start, end\n0, 0, 10\n1, 5, 10\n2, 9, 10\n"), 6) == [0, 1]
