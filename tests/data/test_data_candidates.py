"""Stored candidates: into dense indices, and refused when they belong to other data."""

import numpy as np
import pytest

from everbloom.config import DataConfig, ProtocolConfig
from everbloom.data.candidates import load_candidates
from everbloom.data.prepare import prepare
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.evaluation.stored_candidates import candidates_of

LEAVE_ONE_OUT = ProtocolConfig(name="leave-one-out")


@pytest.fixture
def data(tmp_path) -> DataConfig:
    lines = [f"{user},{item},{item}" for user in (20, 10) for item in (5, 6, 7, 8)]
    (tmp_path / "e.csv").write_text("u,i,t\n" + "\n".join(lines) + "\n")
    return DataConfig(source={"name": "table", "path": str(tmp_path / "e.csv"), "user": "u", "item": "i", "time": "t"})


def store(path, **changed):
    arrays = {
        "user": np.array([10, 20]),
        "val_item": np.array([7, 7]),
        "test_item": np.array([8, 8]),
        "val_neg": np.array([[5, 6], [6, 5]]),
        "test_neg": np.array([[6, 5], [5, 6]]),
    } | changed
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def test_original_ids_become_dense_indices(data, tmp_path):
    dataset = prepare(data)
    stored = load_candidates(dataset, data, store(tmp_path / "c.npz"))
    assert stored.user.tolist() == [1, 0]
    assert stored.test_item.tolist() == [3, 3]
    assert stored.validation_negatives.tolist() == [[0, 1], [1, 0]]
    timeline = Timeline(dataset.events, dataset.catalog, data, LEAVE_ONE_OUT)
    for split in ("validation", "test"):
        assert len(candidates_of(stored, timeline.cases(0, split), split, timeline).target_item) == 2


def test_a_name_is_looked_up_in_the_raw_folder(data, everbloom_home):
    (everbloom_home / "raw" / "table").mkdir(parents=True)
    store(everbloom_home / "raw" / "table" / "c.npz")
    assert len(load_candidates(prepare(data), data, "c.npz").user) == 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"user": np.array([10, 30])}, "1 users are not in the data set, for example '30'"),
        ({"val_neg": np.array([[5, 99], [98, 5]])}, "2 items are not in the data set, for example '98'"),
        ({"test_neg": None}, "array 'test_neg' is missing"),
        ({"test_neg": np.array([5, 6])}, r"test_neg has shape \[2\]; expected \[2, negatives\]"),
        ({"val_item": np.array([7])}, r"val_item has shape \[1\]; expected \[2\]"),
    ],
)
def test_what_does_not_fit_is_refused(data, tmp_path, changed, told):
    with pytest.raises(DataError, match=told):
        load_candidates(prepare(data), data, store(tmp_path / "c.npz", **changed))


def test_a_missing_or_damaged_file(data, tmp_path):
    with pytest.raises(DataError, match="no such file of candidates"):
        load_candidates(prepare(data), data, str(tmp_path / "none.npz"))
    (tmp_path / "c.npz").write_text("no")
    with pytest.raises(DataError, match="not an npz file of candidates"):
        load_candidates(prepare(data), data, str(tmp_path / "c.npz"))


def test_other_held_out_items_are_found(data, tmp_path):
    dataset = prepare(data)
    stored = load_candidates(dataset, data, store(tmp_path / "c.npz", test_item=np.array([8, 5])))
    timeline = Timeline(dataset.events, dataset.catalog, data, LEAVE_ONE_OUT)
    assert len(candidates_of(stored, timeline.cases(0, "validation"), "validation", timeline).target_item) == 2
    with pytest.raises(DataError, match=r"for 1 of 2 users the stored test item is not the log's .*tie_order"):
        candidates_of(stored, timeline.cases(0, "test"), "test", timeline)
    by_time = Timeline(dataset.events, dataset.catalog, data, ProtocolConfig(cut="counts", periods=2))
    with pytest.raises(DataError, match=r"evaluation\.candidates"):
        candidates_of(stored, by_time.cases(1, "test"), "test", by_time)
