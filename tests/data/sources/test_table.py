"""Anyone's table: every format gives the same events, and every mistake one line."""

import gzip
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from everbloom.config import DataConfig
from everbloom.data.prepare import prepare
from everbloom.data.sources.table import TableFiles
from everbloom.errors import DataError

ROWS = [("u1", "007", 10, 4.0), ("u2", "8", 20, 1.5), ("u1", "8", 30, 5.0)]
COLUMNS = ["who", "what", "when", "stars"]


def text(separator: str, header: bool = True) -> str:
    lines = [COLUMNS, *ROWS] if header else ROWS
    return "".join(separator.join(map(str, line)) + "\n" for line in lines)


def write(path: Path) -> dict:
    """Writes the rows in the format that the file's name says; the settings that read it."""
    kind = path.name.split(".", 1)[1].removesuffix(".gz")
    by_name = {"user": "who", "item": "what", "time": "when", "value": "stars"}
    by_place = {"user": 0, "item": 1, "time": 2, "value": 3, "header": False}
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    if kind == "parquet":
        frame.to_parquet(path)
        return by_name
    content, settings = {
        "csv": (text(","), by_name),
        "tsv": (text("\t"), by_name),
        "txt": (text("\t"), by_name),
        "dat": (text("::", header=False), by_place),
        "jsonl": (frame.to_json(orient="records", lines=True), by_name),
        "data": (text("|"), {**by_name, "separator": "|"}),
    }[kind]
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return settings


@pytest.mark.parametrize(
    "name",
    ["e.csv", "e.csv.gz", "e.tsv", "e.txt.gz", "e.dat", "e.dat.gz", "e.jsonl", "e.jsonl.gz", "e.data", "e.parquet"],
)
def test_every_format_gives_the_same_events(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    settings = write(tmp_path / name)
    dataset = prepare(
        DataConfig(source={"name": "table", "path": str(tmp_path / name), "default_behaviour": "rate", **settings})
    )
    assert list(dataset.events.user_ids) == ["u1", "u2"]
    assert list(dataset.catalog.item_ids) == ["007", "8"]
    assert dataset.events.time.tolist() == [10, 30, 20]
    assert dataset.events.value.tolist() == [4.0, 5.0, 1.5]
    assert dataset.report.behaviours == {"rate": 3}


def test_a_home_relative_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "e.csv")
    source = TableFiles(path="~/e.csv", user="who", item="what")
    assert source.locate(tmp_path) == [tmp_path / "e.csv"]


def test_parquet_keeps_moments_and_integers(tmp_path):
    pytest.importorskip("pyarrow")
    moments = pd.to_datetime(["2024-02-29", "2024-03-01"])
    pd.DataFrame({"u": [1, 1], "i": [5, 6], "t": moments}).to_parquet(tmp_path / "e.parquet")
    source = TableFiles(path=str(tmp_path / "e.parquet"), user="u", item="i", time="t")
    (chunk,) = source.events(source.locate(tmp_path))
    assert chunk["time"].tolist() == [1709164800, 1709251200]
    assert chunk["item"].tolist() == [5, 6]


def table(tmp_path: Path, content: str = "u,i,t\na,x,1\n", name: str = "e.csv", **settings) -> TableFiles:
    (tmp_path / name).write_text(content)
    return TableFiles(**{"path": str(tmp_path / name), "user": "u", "item": "i", "time": "t"} | settings)


def read(source: TableFiles, home: Path) -> pd.DataFrame:
    files = source.locate(home)
    source.items(files)
    return pd.concat(source.events(files), ignore_index=True)


def test_behaviours_are_translated(tmp_path):
    source = table(
        tmp_path,
        "u,i,b\na,x,pv\na,y,buy\na,z,view\na,w,\n",
        time=None,
        behaviour="b",
        behaviours={"pv": "click", "buy": "purchase"},
    )
    assert read(source, tmp_path)["behaviour"].fillna("?").tolist() == ["click", "purchase", "view", "?"]


@pytest.mark.parametrize(
    ("content", "settings", "told"),
    [
        ("u,i,t\na,x,soon\n", {}, r"e.csv: row 1: time 'soon' is not a Unix time in seconds"),
        ("u,i,t\na,x,2024\n", {"time_format": "%d.%m.%Y"}, r"row 1: time '2024' is not of the form '%d.%m.%Y'"),
        ("u,i\na,x\n", {}, r"e.csv: no column 't'; the columns are: u, i"),
        ("u,i,t\na,x,1\n", {"value": "stars"}, r"no column 'stars'; the columns are: u, i, t"),
        ("u,i,t\na,x,1\n", {"user": 0}, r"no column 0; .* with a header, columns have names"),
        ("a,x,1\n", {"header": False, "user": 0, "item": 1, "time": 7}, r"no column 7; the columns are: 0, 1, 2"),
        ("u,i,t,v\na,x,1,much\n", {"value": "v"}, r"row 1: v 'much' is not a number"),
        (
            "u,i,t,b\na,x,1,view\na,x,1,pv\n",
            {"behaviour": "b"},
            r"row 2: behaviour 'pv' is none of view, click.*\"pv\"",
        ),
        ("", {}, r"e.csv: empty; expected a header line or rows"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, content, settings, told):
    with pytest.raises(DataError, match=told) as caught:
        read(table(tmp_path, content, **settings), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("e.jsonl", '{"u": 1, "i": 2}\n', "no column 't'; the columns are: u, i"),
        ("e.jsonl", '{"u": 1, "i": 2, "t": 3}\nno\n', "row 2 is no JSON object"),
        ("e.parquet", "no parquet", "not a readable parquet file"),
        ("e.xyz", "u,i,t\n", r"unknown ending '.xyz'; expected one of .csv, .tsv"),
    ],
)
def test_a_mistake_in_other_formats_is_one_line(tmp_path, name, content, told):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=told):
        read(table(tmp_path, content, name), tmp_path)


def test_a_missing_file_is_named(tmp_path):
    for settings in ({"path": str(tmp_path / "none.csv")}, {"items_path": str(tmp_path / "none.csv")}):
        with pytest.raises(DataError, match=r"none\.csv: no such file .*check data.source.path and items_path"):
            table(tmp_path, **settings).locate(tmp_path)


def test_a_source_without_users_is_refused_early():
    with pytest.raises(ValidationError, match="user"):
        TableFiles.model_validate({"name": "table", "path": "e.csv", "item": "i"})


ITEMS = "key,name,colour,cost\nx,Hat,red,2\ny,Coat,,\n"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"name": ["Hat", "Coat"], "colour": ["red", ""], "cost": ["2", ""]}),
        ({"item_fields": ["colour"]}, {"colour": ["red", ""]}),
        (
            {"item_fields": {"title": "name"}, "item_numbers": {"price": "cost"}},
            {"title": ["Hat", "Coat"], "price": [2.0, None]},
        ),
        ({"item_numbers": ["cost"]}, {"name": ["Hat", "Coat"], "colour": ["red", ""], "cost": [2.0, None]}),
    ],
)
def test_item_tables(tmp_path, settings, expected):
    (tmp_path / "i.csv").write_text(ITEMS)
    source = table(tmp_path, items_path=str(tmp_path / "i.csv"), item_id="key", **settings)
    items = source.items(source.locate(tmp_path))
    assert items is not None
    assert items["item"].tolist() == ["x", "y"]
    found = {name: [None if pd.isna(value) else value for value in items[name]] for name in items if name != "item"}
    assert found == expected


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"item_id": "key", "item_fields": ["size"]}, "no column 'size'; the columns are: key, name, colour, cost"),
        ({"item_id": "key", "item_numbers": ["name"]}, "row 1: name 'Hat' is not a number"),
        ({}, "no column 'i'"),
    ],
)
def test_mistakes_in_item_tables(tmp_path, settings, told):
    (tmp_path / "i.csv").write_text(ITEMS)
    with pytest.raises(DataError, match=told):
        read(table(tmp_path, items_path=str(tmp_path / "i.csv"), **settings), tmp_path)


def test_lists_in_json_items_become_text(tmp_path):
    (tmp_path / "i.jsonl").write_text('{"i": "x", "tags": ["a", "b"]}\n{"i": "y"}\n')
    source = table(tmp_path, items_path=str(tmp_path / "i.jsonl"))
    items = source.items(source.locate(tmp_path))
    assert items is not None
    assert items["tags"].tolist() == ["a, b", ""]
