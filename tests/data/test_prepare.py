"""Preparing: from files to a memory-mapped data set, once, whole or not at all."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from everbloom.config import CleaningConfig, DataConfig
from everbloom.data import prepare as preparing
from everbloom.data.events import BEHAVIOURS
from everbloom.data.prepare import Dataset, prepare
from everbloom.data.reading import delimited
from everbloom.errors import DataError

EVENTS = """user,item,when,what,stars,words
u2,b,30,view,,
u1,a,10,rate,4,
u1,c,20,buy,2,
u1,,25,search,,red shoes
u2,b,30,view,,
u2,a,5,view,,
u3,d,7,view,,
"""
ITEMS = "item,name,cost\na,Apple,1\nz,Zebra,100\nb,Bread,3\nc,,\n"


@pytest.fixture
def source(tmp_path: Path) -> dict:
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "items.csv").write_text(ITEMS)
    return {
        "name": "table",
        "path": str(tmp_path / "events.csv"),
        "items_path": str(tmp_path / "items.csv"),
        "user": "user",
        "item": "item",
        "time": "when",
        "behaviour": "what",
        "behaviours": {"buy": "purchase"},
        "value": "stars",
        "text": "words",
        "item_numbers": ["cost"],
    }


def config(source: dict, **more) -> DataConfig:
    return DataConfig(source=source, **more)


def rows(dataset: Dataset) -> list[tuple]:
    log = dataset.events
    items = [*dataset.catalog.item_ids, None]
    return [
        (log.user_ids[int(log.user[row])], items[log.item[row]], int(log.time[row]), BEHAVIOURS[log.behaviour[row]], float(log.value[row]))
        for row in range(len(log))
    ]  # fmt: skip


def test_events_and_items_arrive(source):
    dataset = prepare(config(source))
    assert list(dataset.events.user_ids) == ["u2", "u1", "u3"]  # as they first stand in the file
    assert list(dataset.catalog.item_ids) == ["a", "b", "c", "d"]  # as in the item table, then as in the events
    assert rows(dataset) == [
        ("u2", "a", 5, "view", 1.0),
        ("u2", "b", 30, "view", 1.0),
        ("u1", "a", 10, "rate", 4.0),
        ("u1", "c", 20, "purchase", 2.0),
        ("u1", None, 25, "search", 1.0),
        ("u3", "d", 7, "view", 1.0),
    ]
    assert dataset.events.text is not None
    assert list(dataset.events.text) == ["", "", "", "", "red shoes", ""]
    assert dataset.catalog.first_seen.tolist() == [5, 30, 20, 7]


def test_numbers_are_standardised_over_the_items_that_stay_and_also_text(source):
    dataset = prepare(config(source))
    assert dataset.catalog.texts("{name} at {cost}") == ["Apple at 1", "Bread at 3", "at", "at"]
    np.testing.assert_allclose(dataset.catalog.numbers["cost"], [-1, 1, np.nan, np.nan])
    assert dataset.report.numbers["cost"].mean == 2
    assert dataset.report.numbers["cost"].deviation == 1


def test_the_report_counts_everything(source):
    report = prepare(config(source)).report
    assert (report.rows, report.duplicates, report.left_out) == (7, 1, {})
    assert (report.item_rows, report.unused_items, report.undescribed_items) == (4, 1, 1)
    assert (report.users, report.items, report.events) == (3, 4, 6)
    assert report.behaviours == {"view": 3, "purchase": 1, "rate": 1, "search": 1}


def test_cleaning_renumbers_what_stays(source):
    dataset = prepare(config(source, cleaning=CleaningConfig(min_item_events=2)))
    assert list(dataset.events.user_ids) == ["u2", "u1"]  # of u3 nothing is left
    assert list(dataset.catalog.item_ids) == ["a"]
    assert [(row[0], row[1]) for row in rows(dataset)] == [("u2", "a"), ("u1", "a"), ("u1", None)]
    assert dataset.report.rare_items == 3


def test_a_second_call_reads_nothing(source, monkeypatch):
    first = prepare(config(source))
    monkeypatch.setattr(preparing, "_write", lambda *_: pytest.fail("prepared again"))
    second = prepare(config(source, text="{name}", positives={"purchase": 2.0}, min_value=3))
    assert second.fingerprint == first.fingerprint
    assert rows(second) == rows(first)
    assert isinstance(second.events.item, np.memmap)
    assert second.report == first.report


def test_the_fingerprint_follows_content_and_settings(source, tmp_path):
    base = prepare(config(source)).fingerprint
    others = [
        config(source, cleaning=CleaningConfig(drop_duplicates=False)),
        config(source, tie_order="reverse-file"),
        config({**source, "default_behaviour": "click"}),
    ]
    seen = {base, *(prepare(other).fingerprint for other in others)}
    (tmp_path / "items.csv").write_text(ITEMS.replace("Apple", "Apfel"))
    seen.add(prepare(config(source)).fingerprint)
    assert len(seen) == 5
    (tmp_path / "items.csv").write_text(ITEMS)
    assert prepare(config(source)).fingerprint == base


def test_ties_follow_the_file_or_its_reverse(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("user,item,t\nu,a,1\nu,b,1\nu,c,0\n")
    table = {"name": "table", "path": str(path), "user": "user", "item": "item", "time": "t"}
    for ties, order in (("file", ["c", "a", "b"]), ("reverse-file", ["c", "b", "a"])):
        dataset = prepare(config(table, tie_order=ties))
        assert [dataset.catalog.item_ids[int(item)] for item in dataset.events.item] == order


def test_a_failure_leaves_nothing_behind(source, everbloom_home, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "build_catalog", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare(config(source))
    assert list((everbloom_home / "prepared").iterdir()) == []


def test_who_comes_second_opens_what_the_first_one_made(source, monkeypatch):
    write, done = preparing._write, []

    def race(*arguments):
        write(*arguments)
        if not done:
            done.append(True)
            prepare(config(source))  # another process finishes in between

    monkeypatch.setattr(preparing, "_write", race)
    dataset = prepare(config(source))
    assert len(rows(dataset)) == 6
    assert [path.name for path in dataset.folder.parent.iterdir()] == [dataset.fingerprint]


def test_nothing_left_says_which_rule(source, everbloom_home):
    with pytest.raises(DataError, match=r"min_user_events = 9 .* removed 6 events"):
        prepare(config(source, cleaning=CleaningConfig(min_user_events=9)))
    assert list((everbloom_home / "prepared").iterdir()) == []


def test_what_was_prepared_is_written_down(source):
    dataset = prepare(config(source))
    told = json.loads((dataset.folder / "data.json").read_text())
    assert told["source"]["name"] == "table"
    assert set(told) == {"source", "cleaning", "tie_order"}


def test_duplicate_and_empty_rows_of_the_item_table_are_counted(source, tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS + "a,Another,9\n,Nobody,9\n")
    dataset = prepare(config(source))
    assert dataset.report.duplicate_item_rows == 2
    assert dataset.catalog.texts("{name}")[0] == "Apple"


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_do_not_show(tmp_path, monkeypatch, chunk):
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"u": draw.integers(0, 9, 99), "i": draw.integers(0, 30, 99), "t": draw.permutation(99)})
    table.to_csv(tmp_path / "e.csv", index=False)
    monkeypatch.setattr("everbloom.data.sources.table.delimited", partial(delimited, chunk=chunk))
    dataset = prepare(config({"name": "table", "path": str(tmp_path / "e.csv"), "user": "u", "item": "i", "time": "t"}))
    assert list(dataset.events.user_ids) == [str(user) for user in table["u"].unique()]
    found = {(row[0], row[1], row[2]) for row in rows(dataset)}
    assert found == {(str(user), str(item), time) for user, item, time in table.itertuples(index=False)}
