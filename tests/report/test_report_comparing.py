"""Runs are compared where that means something, and refused in one line where it does not."""

import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from everbloom.errors import InputError
from everbloom.report.comparing import compare_runs
from everbloom.report.records import find_runs, read_run
from simulation.compare_command import compare, print_comparison


def read(runs, *names):
    return [read_run(runs / name) for name in names]


def test_settings_are_compared_with_the_first_and_seeds_averaged(runs):
    found = compare_runs(read(runs, "private", "private-4", "exact", "exact-2"))
    assert found.reference.label == "user, central, epsilon 8"
    assert found.measures == ["hr@10", "ndcg@10"]
    assert [(one.contender.label, one.contender.runs) for one in found.against[:2]] == [
        ("user, central, epsilon 4", 1),
        ("no privacy", 2),
    ]
    first, exact, again = read(runs, "private", "exact", "exact-2")
    assert found.reference.mean("ndcg@10") == pytest.approx(first.reached("ndcg@10"), abs=1e-6)
    mean = (exact.reached("ndcg@10") + again.reached("ndcg@10")) / 2
    one = next(one for one in found.against if one.contender.runs == 2 and one.measure == "ndcg@10")
    assert one.contender.mean("ndcg@10") == pytest.approx(mean, abs=1e-6)
    assert one.found.difference == pytest.approx(mean - first.reached("ndcg@10"), abs=1e-6)
    assert one.corrected >= one.found.permutation


def test_one_run_is_compared_with_popularity_over_all_periods(runs):
    (run,) = read(runs, "continual")
    found = compare_runs([run])
    assert found.reference.label == "popularity"
    assert found.reference.mean("hr@10") == pytest.approx(run.reached("hr@10", "popularity"), abs=1e-6)
    assert found.reference.values["hr@10"].shape[1] == 3


def test_seeds_of_one_setting_alone_are_compared_one_by_one(runs):
    found = compare_runs(read(runs, "exact", "exact-2"))
    assert [found.reference.label, found.against[0].contender.label] == ["exact", "exact-2"]


@pytest.fixture
def copy(runs, tmp_path):
    shutil.copytree(runs / "exact", tmp_path / "copy")
    return tmp_path / "copy"


def test_what_cannot_be_compared_is_refused_in_one_line(runs, copy):
    exact = runs / "exact"

    def told() -> str:
        with pytest.raises(InputError) as refused:
            compare_runs(find_runs([exact, copy]))
        assert "\n" not in str(refused.value)
        return str(refused.value)

    with pytest.raises(InputError, match=r"\[protocol\] differ"):
        compare_runs(read(runs, "exact", "continual"))
    records = copy / "per-user" / "test-0001-federated.npz"
    with np.load(records) as arrays:
        changed = dict(arrays)
    changed["user"] = changed["user"] + 1
    np.savez(records, **changed)
    assert "other users were tested" in told()
    records.rename(records.with_name("test-0002-federated.npz"))
    assert "tested in periods [2], not [1]" in told()
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "data": "other"}))
    assert "the data differ" in told()
    del summary["data"]
    (copy / "summary.json").write_text(json.dumps(summary))
    assert "older version" in told()
    (copy / "summary.json").unlink()
    assert "is not finished" in told()


def test_a_run_without_records_of_users_is_refused(copy):
    shutil.rmtree(copy / "per-user")
    with pytest.raises(InputError, match="no records of users"):
        compare_runs([read_run(copy)])


def test_the_table_fits_a_terminal_and_json_holds_everything(runs, tmp_path):
    console = Console(record=True, width=80, quiet=True)
    console.quiet = False
    with console.capture() as captured:
        print_comparison(console, compare_runs(read(runs, "private", "private-4", "exact", "exact-2")))
    text = captured.get()
    assert "no privacy (2" in " ".join(text.split())
    assert "Holm" in text
    compare([runs / "private", runs / "exact"], tmp_path / "found.json")
    rows = json.loads((tmp_path / "found.json").read_text())
    assert [row["measure"] for row in rows] == ["hr@10", "ndcg@10"]
    assert {"low", "high", "permutation_corrected", "sign", "reference_mean"} <= set(rows[0])
    with pytest.raises(InputError, match="cannot be written"):
        compare([runs / "private"], tmp_path / "no" / "found.json")
