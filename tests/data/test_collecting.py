"""Collecting: chunks become columns, and rows that are no events are counted by reason."""

import numpy as np
import pandas as pd
import pytest

from everbloom.data.collecting import collect
from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.errors import DataError


def frame(**columns):
    return pd.DataFrame(columns)


def test_ids_of_the_item_table_come_first_and_chunks_add_up():
    chunks = [frame(user=["b", "a"], item=["y", "x"], time=[3, 1]), frame(user=["a"], item=["z"], time=[2])]
    seen = []
    collected = collect(chunks, pd.Series(["x", "y"]), "click", lambda done, total: seen.append((done, total)))
    assert collected.user_ids.tolist() == ["b", "a"]
    assert collected.item_ids.tolist() == ["x", "y", "z"]
    assert collected.columns.user.tolist() == [0, 1, 1]
    assert collected.columns.item.tolist() == [1, 0, 2]
    assert collected.columns.time.tolist() == [3, 1, 2]
    assert {BEHAVIOURS[code] for code in collected.columns.behaviour} == {"click"}
    assert collected.columns.value.tolist() == [1, 1, 1]
    assert collected.columns.text is None
    assert seen == [(2, 0), (3, 0)]


def test_rows_that_are_no_events_are_left_out_and_counted():
    chunk = frame(
        user=["a", None, "a", "a", "a", "a"],
        item=["x", "x", None, "x", "x", "x"],
        time=pd.Series([1, 1, 1, None, 1, 1], dtype="Int64"),
        value=[1.0, 1.0, 1.0, 1.0, np.inf, np.nan],
    )
    chunk.attrs["dropped"] = {"cancellation": 4, "other": 0}
    collected = collect([chunk], None, "view")
    assert collected.left_out == {
        "cancellation": 4, "no user": 1, "no item": 1, "no time": 1, "value is not finite": 1,
    }  # fmt: skip
    assert collected.rows == 10
    assert collected.columns.value.tolist() == [1, 1]


def test_a_search_needs_a_text_but_no_item():
    chunk = frame(
        user=["a"] * 4,
        item=["x", None, None, None],
        behaviour=["search", "search", "search", "view"],
        text=["red", "blue", "", "green"],
    )
    collected = collect([frame(user=["a"], item=["x"]), chunk], None, "view")
    assert collected.columns.item.tolist() == [0, 0, NO_ITEM]
    assert collected.columns.text.tolist() == ["", "red", "blue"]
    assert collected.left_out == {"no item": 2}
    assert collected.columns.time is None


def test_a_missing_behaviour_is_the_default_and_an_unknown_one_refused():
    collected = collect([frame(user=[1, 1], item=[1, 2], behaviour=["save", None])], None, "like")
    assert [BEHAVIOURS[code] for code in collected.columns.behaviour] == ["save", "like"]
    with pytest.raises(DataError, match=r"behaviour 'buy' is unknown; expected one of view, click"):
        collect([frame(user=[1], item=[1], behaviour=["buy"])], None, "view")


def test_timestamps_for_some_chunks_only_are_refused():
    with pytest.raises(DataError, match="timestamps for some events only"):
        collect([frame(user=[1], item=[1], time=[1]), frame(user=[1], item=[1])], None, "view")


def test_no_chunks_give_no_events():
    assert len(collect([], None, "view").columns) == 0
