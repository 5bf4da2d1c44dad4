"""The drift of a log: counts of a small one by hand, and the place of a known shift in a synthetic one."""

import numpy as np
import pytest

from everbloom.config import DataConfig, ProtocolConfig
from everbloom.data.drift import Drift, describe_drift
from everbloom.data.prepare import prepare
from everbloom.errors import DataError

DAY = 86_400


def drift_of(source: dict, cut: dict | None = None, field: str | None = None) -> Drift:
    dataset = prepare(DataConfig(source=source))
    return describe_drift(dataset.events, dataset.catalog, ProtocolConfig(**(cut or {})), field)


def moves(*shifts: dict) -> tuple[np.ndarray, np.ndarray]:
    """(popularity, tastes) above the baselines [changes between steps] of a log without any other drift."""
    source = {
        "name": "synthetic", "users": 600, "items": 200, "events_per_user": 80, "repeats": True, "drift": 0, "persistence": 0,
        "new_item_rate": 0, "new_user_rate": 0, "shifts": shifts,
    }  # fmt: skip
    found = [period.move for period in drift_of(source, {"cut": "counts", "periods": 6}).periods[1:]]
    popularity = [move.popularity - move.popularity_dealt_anew for move in found]
    tastes = [move.tastes.distance - move.tastes.dealt_anew for move in found]
    return np.array(popularity), np.array(tastes)


def test_without_drift_nothing_lies_above_the_baselines():
    popularity, tastes = moves()
    assert np.abs(popularity).max() < 0.02
    assert np.abs(tastes).max() < 0.02


def test_a_shift_of_tastes_is_seen_where_it_is():
    popularity, tastes = moves({"at": 3, "tastes": 0.6})
    assert np.argmax(tastes) == 2
    assert tastes[2] > 0.1 > 5 * np.delete(tastes, 2).max()
    assert popularity.max() < 0.03


def test_a_shift_of_popularity_is_seen_where_it_is():
    popularity, tastes = moves({"at": 4, "popularity": 0.5})
    assert np.argmax(popularity) == 3
    assert popularity[3] > 0.1 > 5 * np.delete(popularity, 3).max()
    assert tastes.max() < 0.03


@pytest.fixture
def table(tmp_path) -> dict:
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 3), ("a", "x", 32), ("a", "x", 33), ("c", "z", 34), ("c", "x", 35)]
    (tmp_path / "e.csv").write_text("u,i,t\n" + "".join(f"{user},{item},{day * DAY}\n" for user, item, day in rows))
    return {"name": "table", "path": str(tmp_path / "e.csv"), "user": "u", "item": "i", "time": "t"}


def test_a_small_log_by_hand(table):
    first, second = drift_of(table).periods
    assert (first.events, first.users, first.items, first.new_users, first.repeats) == (3, 2, 2, 1, 0)
    assert first.move is None
    assert (second.events, second.users, second.items) == (4, 2, 2)
    assert (second.new_users, second.new_items, second.repeats) == (0.5, 0.25, 0.5)
    assert second.move.top_kept == 1
    assert second.move.tastes.stayed == 1
    assert second.move.tastes.others is None
    assert second.move.tastes.distance == pytest.approx(0.5579230452841438)  # of (1/2, 1/2) and (1, 0), by hand


def test_what_cannot_be_told_is_said(table):
    with pytest.raises(DataError, match="no item field 'colour'; this catalogue has: item"):
        drift_of(table, field="colour")
    with pytest.raises(DataError, match="too short"):
        drift_of(table, {"warm_start": 2})
    with pytest.raises(DataError, match="no timestamps"):
        drift_of({key: value for key, value in table.items() if key != "time"})


def test_tastes_are_over_the_field_that_says_the_kind():
    source = {"name": "synthetic", "users": 30, "items": 40}
    assert drift_of(source).kinds == "category"
    assert drift_of(source, field="item").kinds == "item"
    assert drift_of({**source, "behaviours": {"search": 1, "view": 0.01}}).periods[0].events > 0
