"""Sequences: one user a line, in both layouts."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from everbloom.config import DataConfig
from everbloom.data.prepare import prepare
from everbloom.data.sources.sequences import Sequences, unroll
from everbloom.errors import DataError

HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token\n"


def pairs(frame):
    return list(zip(frame["user"], frame["item"], strict=True))


def read(source, folder):
    files = source.locate(folder)
    return pairs(pd.concat(source.events(files))), source.items(files)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from(["1", "22", "x-y"]), max_size=4)), max_size=6)
)
def test_unrolling_keeps_every_item_in_order(lines):
    users = pd.Series([user for user, _ in lines], dtype="str")
    sequences = pd.Series(["  ".join(items) + " " for _, items in lines], dtype="str")
    assert pairs(unroll(users, sequences)) == [(user, item) for user, items in lines for item in items]


def test_a_history_and_the_item_after_it(tmp_path):
    (tmp_path / "Games.test.inter").write_text(HEADER + "0\t5 6\t7\n1\t\t6\n")
    (tmp_path / "Games.train.inter").write_text(HEADER + "0\t5\t6\n")
    (tmp_path / "Games.item").write_text('item_id:token\ttitle:token_seq\tprice:float\n5\tThe "Game\t2.5\n6\t\t\n')
    found, items = read(Sequences(dataset="amazon-games"), tmp_path)
    assert found == [("0", "5"), ("0", "6"), ("0", "7"), ("1", "6")]
    assert items is not None
    assert items.fillna(-1).to_dict("list") == {"item": ["5", "6"], "title": ['The "Game', ""], "price": [2.5, -1]}


def test_plain_lines(tmp_path):
    (tmp_path / "mine.txt").write_text("u1 5 6 7\nu2\t8,9\n\nu3 5\n")
    found, items = read(Sequences(path=str(tmp_path / "mine.txt")), tmp_path)
    assert found == [("u1", "5"), ("u1", "6"), ("u1", "7"), ("u2", "8"), ("u2", "9"), ("u3", "5")]
    assert items is None


def test_the_order_stands_for_time(tmp_path):
    (tmp_path / "mine.txt").write_text("u1 5 6 5\n")
    source = {"name": "sequences", "path": str(tmp_path / "mine.txt"), "default_behaviour": "purchase"}
    dataset = prepare(DataConfig(source=source))
    assert not dataset.events.has_time
    assert dataset.events.time.tolist() == [0, 1, 2]
    assert dataset.events.item.tolist() == [0, 1, 0]
    assert dataset.report.behaviours == {"purchase": 3}


def test_mistakes(tmp_path):
    (tmp_path / "mine.txt").write_text("u1\nu2\n")
    with pytest.raises(DataError, match="no line has items; expected a user and then items"):
        read(Sequences(path=str(tmp_path / "mine.txt")), tmp_path)
    with pytest.raises(DataError, match="no such file"):
        Sequences(path=str(tmp_path / "none.txt")).locate(tmp_path)
    with pytest.raises(DataError, match=r"everbloom data fetch amazon-games --from PATH"):
        Sequences(dataset="amazon-games").locate(tmp_path / "none")
    with pytest.raises(DataError, match="unknown data set 'other'"):
        Sequences(dataset="other").locate(tmp_path / "none")
    for wrong in ({}, {"dataset": "a", "path": "b"}, {"dataset": "a", "items_path": "b"}):
        with pytest.raises(ValidationError):
            Sequences(**wrong)
