"""Reading files: what is wrong is told in one line that names file, place and expectation."""

import gzip

import pytest

from everbloom.data.reading import delimited, encoding_of, find, first_line, json_lines, text_lines
from everbloom.errors import DataError


def table(path, separator=",", **options):
    return [row for frame in delimited(path, separator, **options) for row in frame.fillna("-").to_numpy().tolist()]


@pytest.fixture
def write(tmp_path):
    def file(content: str | bytes, name: str = "f.csv"):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return file


def test_values_are_text_and_empty_ones_missing(write):
    path = write('id,name\n007,"a, b"\n8,\nNA,null\n')
    assert table(path) == [["007", "a, b"], ["8", "-"], ["NA", "null"]]


def test_columns_are_chosen_and_ordered(write):
    path = write("a,b,c\n1,2,3\n", "f.csv.gz")
    assert table(path, columns=["c", "a"]) == [["3", "1"]]
    assert table(path, columns=[2], header=False) == [["c"], ["3"]]


def test_chunks_make_one_table(write):
    path = write("a\n" + "\n".join(map(str, range(10))) + "\n")
    frames = list(delimited(path, ",", chunk=3))
    assert [len(frame) for frame in frames] == [3, 3, 3, 1]
    assert [row for frame in frames for row in frame["a"]] == [str(value) for value in range(10)]


def test_a_separator_of_several_characters_is_literal(write):
    path = write('1::It\'s a, "title": here::\n2::b::x\n', "f.dat")
    assert table(path, "::", header=False) == [["1", 'It\'s a, "title": here', "-"], ["2", "b", "x"]]
    assert table(path, "::", header=False, columns=[2, 0], chunk=1) == [["-", "1"], ["x", "2"]]


def test_a_byte_order_mark_is_not_part_of_a_name(write):
    path = write("\ufeffa,b\n1,2\n")
    assert table(path, columns=["a"]) == [["1"]]


@pytest.mark.parametrize(
    ("content", "name", "options", "told"),
    [
        ("a,b\n1,2\n", "f.csv", {"columns": ["z"]}, "no column 'z'; the columns are: a, b"),
        ("a,b\n1,2\n", "f.csv", {"columns": [5]}, "no column 5; the columns are: a, b"),
        ("", "f.csv", {}, "empty; expected a header line or rows"),
        ("a,b\n1,2,3\n", "f.csv", {}, "rows have more values than the 2 of the first line"),
        ("a,b\n1,2\n1,2,3\n", "f.csv", {}, "Expected 2 fields in line 3, saw 3; are separator and quoting right?"),
        ('a,b\n1,"2\n', "f.csv", {}, "separator and quoting right"),
        (b"a,b\n1,\xe9\n", "f.csv", {}, "not utf-8 text; give the right encoding"),
    ],
)
def test_a_wrong_file_is_one_line(write, content, name, options, told):
    path = write(content, name)
    with pytest.raises(DataError) as caught:
        table(path, **options)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_rows_of_another_length_are_refused_with_long_separators(write):
    with pytest.raises(DataError, match="a row has 3 values, the first line 2; is the separator '::'"):
        table(write("1::2\n1::2::3\n"), "::", header=False)


def test_a_damaged_gzip_file(tmp_path):
    path = tmp_path / "f.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 10_000)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        table(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be read"):
        first_line(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read: No such file"):
        table(tmp_path / "none.csv")


def test_json_lines_take_the_keys_that_are_asked_for(write):
    path = write('{"a": 1, "b": "x"}\n\n{"b": "y", "c": 3}\n', "f.jsonl.gz")
    (frame,) = json_lines(path, ["b", "a"])
    assert frame["b"].tolist() == ["x", "y"]
    assert frame["a"].tolist() == [1, None]


@pytest.mark.parametrize("line", ["[1]", "{", "nothing"])
def test_a_line_that_is_no_object_is_named(write, line):
    with pytest.raises(DataError, match="row 2 is no JSON object"):
        list(json_lines(write(f'{{"a": 1}}\n{line}\n'), ["a"]))


def test_lines_and_encodings(write):
    path = write(b"caf\xe9\r\n\nb\n", "f.txt")
    assert encoding_of(path) == "latin-1"
    assert list(text_lines(path, "latin-1", chunk=1)) == [["café"], ["b"]]
    assert encoding_of(write("café", "g.txt.gz")) == "utf-8"


def test_find_prefers_the_earlier_pattern_and_takes_gzip(write, tmp_path):
    second, first = write("x", "b.dat"), write("x", "a.dat.gz")
    assert find(tmp_path, "a.dat", "b.dat") == first
    assert find(tmp_path, "b.dat", "a.dat") == second
    assert find(tmp_path, "c.*") is None
