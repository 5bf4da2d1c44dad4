"""String columns hold any text and give it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.data.strings import StringColumn

strings = st.lists(st.text(max_size=8), max_size=20)


@given(strings)
def test_what_goes_in_comes_out(texts):
    column = StringColumn.of(texts)
    assert list(column) == texts
    assert [column[row] for row in range(len(column))] == texts
    assert [column[row - len(texts)] for row in range(len(texts))] == texts


@given(strings)
def test_also_from_disk(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("strings")
    StringColumn.of(texts).save(folder, "name")
    assert list(StringColumn.open(folder, "name")) == texts


def test_beyond_the_end_is_an_index_error():
    with pytest.raises(IndexError):
        StringColumn.of(["a"])[1]
