"""Ids are numbered by first appearance, in whatever chunks they come."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from everbloom.data.ids import IdEncoder

chunks_of_ids = st.lists(
    st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "c", "7", "é"])), max_size=8), max_size=6
)


def encode(chunks: list[pd.Series]) -> tuple[list[int], list[str]]:
    encoder = IdEncoder()
    codes = [encoder.add(chunk) for chunk in chunks]
    table, ids = encoder.finish()
    return [int(table[code]) if code >= 0 else -1 for chunk in codes for code in chunk], ids.tolist()


@given(chunks_of_ids)
def test_codes_follow_first_appearance_whatever_the_chunks(chunks):
    codes, ids = encode([pd.Series(chunk, dtype="str") for chunk in chunks])
    flat = [one for chunk in chunks for one in chunk]
    assert ids == list(dict.fromkeys(one for one in flat if one))
    assert [None if code < 0 else ids[code] for code in codes] == [one or None for one in flat]


def test_integers_stay_apart_from_their_spelling_only_within_strings():
    assert encode([pd.Series([7, 3, 7]), pd.Series([3, 9])]) == ([0, 1, 0, 1, 2], ["7", "3", "9"])
    assert encode([pd.Series(["007", "7"], dtype="str")]) == ([0, 1], ["007", "7"])
    assert encode([pd.Series([7]), pd.Series(["7", "x"], dtype="str")]) == ([0, 0, 1], ["7", "x"])


def test_integers_that_pandas_made_floats_are_integers():
    assert encode([pd.Series([1.0, np.nan, 2.0])]) == ([0, -1, 1], ["1", "2"])
    assert encode([pd.Series([1, None], dtype="Int64"), pd.Series([1])]) == ([0, -1, 0], ["1"])


def test_nothing_gives_nothing():
    assert encode([]) == ([], [])
