"""From someone's table to an experiment."""

from pathlib import Path

import pytest

from everbloom.config import DataConfig
from everbloom.data.own_table import experiment_tables, guess_columns, guess_time_format
from everbloom.data.prepare import prepare
from everbloom.data.sources.table import TableFiles
from everbloom.errors import ConfigError, DataError
from everbloom.experiment import Experiment, parse_experiment

DAY = 86_400


def table(path: Path, days: list[int], name: str = "e.csv") -> Path:
    lines = [f"{user},{item},{day * DAY}" for user in (1, 2) for item, day in enumerate(days)]
    (path / name).write_text("UserId,item_id,timestamp\n" + "\n".join(lines) + "\n")
    return path / name


def imported(path: Path, name: str = "mine", **more) -> Experiment:
    source = TableFiles(name="table", **guess_columns(path, {"path": str(path), **more}))
    return parse_experiment(experiment_tables(name, source, prepare(DataConfig(source=source))))


def test_usual_column_names_are_found(tmp_path):
    path = table(tmp_path, [0, 1])
    found = guess_columns(path, {"path": str(path), "time": None})
    assert found == {"path": str(path), "user": "UserId", "item": "item_id", "time": "timestamp"}
    assert guess_columns(path, {"user": "item_id"})["user"] == "item_id"


def test_unusual_ones_are_asked_for(tmp_path):
    (tmp_path / "e.csv").write_text("who,what\n1,2\n")
    with pytest.raises(DataError, match=r"which column is the user.* give it with --user; the columns are: who, what"):
        guess_columns(tmp_path / "e.csv", {})
    with pytest.raises(DataError, match=r"which column is the user.*positions from 0"):
        guess_columns(tmp_path / "e.csv", {"header": False})
    with pytest.raises(DataError, match="no such file"):
        guess_columns(tmp_path / "none.csv", {})


@pytest.mark.parametrize(
    ("time", "expected"),
    [("1700000000", "s"), ("1700000000000", "ms"), ("2024-05-31 10:00", "iso"), ("2024-05-31", "iso")],
)
def test_time_formats_are_guessed(tmp_path, time, expected):
    path = tmp_path / "e.csv"
    path.write_text(f"user,item,time\n1,2,{time}\n1,3,\n")
    source = TableFiles(path=str(path), user="user", item="item", time="time")
    assert guess_time_format(source, path) == expected


def test_an_unknown_time_format_is_asked_for(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("user,item,time\n1,2,31/05/2024\n")
    with pytest.raises(DataError, match="holds times like '31/05/2024'; say how to read them with --time-format"):
        guess_time_format(TableFiles(path=str(path), user="user", item="item", time="time"), path)


def test_the_protocol_fits_the_time_there_is(tmp_path):
    assert imported(table(tmp_path, list(range(0, 90, 3)))).protocol.cut == "month"
    assert imported(table(tmp_path, list(range(0, 22)))).protocol.cut == "week"
    assert imported(table(tmp_path, [0] * 4)).protocol.name == "leave-one-out"
    many_years = imported(table(tmp_path, list(range(0, 3000, 20)))).protocol
    assert (many_years.cut, many_years.periods) == ("counts", 6)


def test_the_value_tells_the_behaviour(tmp_path):
    (tmp_path / "e.csv").write_text("user,item,Rating\n1,2,4\n")
    found = guess_columns(tmp_path / "e.csv", {})
    assert (found["value"], found["default_behaviour"]) == ("Rating", "rate")
    assert guess_columns(tmp_path / "e.csv", {"default_behaviour": "like"})["default_behaviour"] == "like"


def test_an_order_only_table_is_measured_by_leave_one_out(tmp_path):
    (tmp_path / "e.csv").write_text("user,item\n1,a\n1,b\n1,c\n")
    assert imported(tmp_path / "e.csv").protocol.name == "leave-one-out"


def test_item_texts_make_features(tmp_path):
    (tmp_path / "i.csv").write_text("item_id,name,colour,cost\n0,Hat,red,2\n1,Coat,blue,3\n")
    path = table(tmp_path, list(range(0, 90, 3)))
    experiment = imported(path, items_path=str(tmp_path / "i.csv"), item_numbers=("cost",))
    assert experiment.data.text == "{name}. {colour}"
    assert experiment.model.items.features is not None


def test_too_little_is_refused(tmp_path):
    (tmp_path / "e.csv").write_text("user,item\n1,a\n1,b\n")
    with pytest.raises(DataError, match="too small to learn from"):
        imported(tmp_path / "e.csv")


def test_a_bad_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="name"):
        imported(table(tmp_path, [0, 1, 2]), name="Not A Name")


def test_behaviours_are_taken_when_they_are_ours(tmp_path):
    (tmp_path / "e.csv").write_text("customer,product,when,action\n1,2,2024-01-01,click\n1,3,2024-01-02,purchase\n")
    assert guess_columns(tmp_path / "e.csv", {}) == {
        "user": "customer", "item": "product", "time": "when", "behaviour": "action"
    }  # fmt: skip
    (tmp_path / "e.csv").write_text("customer,product,when,action\n1,2,2024-01-01,click\n1,3,2024-01-02,bought\n")
    assert "behaviour" not in guess_columns(tmp_path / "e.csv", {})
