"""Statistics of a data set."""

from everbloom.config import DataConfig
from everbloom.data.prepare import prepare
from everbloom.data.statistics import describe


def test_a_small_table(tmp_path):
    (tmp_path / "e.csv").write_text("u,i,t\na,x,0\na,x,60\na,y,120\nb,x,86400\n")
    source = {"name": "table", "path": str(tmp_path / "e.csv"), "user": "u", "item": "i", "time": "t"}
    told = describe(prepare(DataConfig(source=source)))
    assert (told.users, told.items, told.events) == (2, 2, 4)
    assert told.density == 3 / 4
    assert (str(told.first), str(told.last)) == ("1970-01-01T00:00:00", "1970-01-02T00:00:00")
    assert told.events_per_user[1.0] == 3
    assert told.events_per_item[0.5] == 2
    source.pop("time")
    assert describe(prepare(DataConfig(source=source))).first is None
