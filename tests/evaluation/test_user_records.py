"""What a test gave each user is written whole, read back, and refused where it is damaged."""

import numpy as np
import pytest

from everbloom.errors import DataError
from everbloom.evaluation.user_records import (
    UserRecords,
    kept_measures,
    looked_back,
    of_test,
    read_user_records,
    recorded_periods,
)


def records(*users: int) -> UserRecords:
    user = np.array(users, dtype=np.int32)
    return UserRecords(user, user + 1, {"hr@10": np.ones(len(user), dtype=np.float32)})


def test_what_is_written_is_read_back_and_periods_are_listed(tmp_path):
    for period in (2, 1):
        records(1, 4).write(tmp_path, of_test(period, "federated"))
        records(1).write(tmp_path, looked_back(3, period))
    records(1).write(tmp_path, of_test(1, "popularity"))
    assert recorded_periods(tmp_path, "federated") == [1, 2]
    assert recorded_periods(tmp_path, "other") == []
    found = read_user_records(tmp_path, of_test(2, "federated"))
    assert found.user.tolist() == [1, 4]
    assert read_user_records(tmp_path, "after-0003-test-0002.npz").user.tolist() == [1]
    assert found.history.tolist() == [2, 5]
    assert found.values["hr@10"].dtype == np.float32
    assert not list((tmp_path / "per-user").glob(".*"))


def test_the_same_records_make_the_same_file(tmp_path):
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        records(1, 2, 3).write(tmp_path / name, of_test(0, "federated"))
        files.append((tmp_path / name / "per-user" / "test-0000-federated.npz").read_bytes())
    assert files[0] == files[1]


def test_missing_and_damaged_records_are_refused_in_one_line(tmp_path):
    with pytest.raises(DataError, match="no records of users here"):
        read_user_records(tmp_path, of_test(1, "federated"))
    records(1).write(tmp_path, of_test(1, "federated"))
    path = tmp_path / "per-user" / "test-0001-federated.npz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="damaged"):
        read_user_records(tmp_path, of_test(1, "federated"))


def test_ten_is_kept_where_it_is_measured():
    assert kept_measures((5, 10, 20)) == ("hr@10", "ndcg@10")
    assert kept_measures((3, 5)) == ("hr@5", "ndcg@5")
