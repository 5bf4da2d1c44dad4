"""Records are read from finished and from running runs, and refused in one line where they are damaged; groups are named by what differs."""

import shutil

import pytest

from everbloom.errors import InputError
from everbloom.report.groups import grouped
from everbloom.report.records import find_runs, read_run


def test_a_finished_run_says_what_it_reached(runs):
    run = read_run(runs / "private")
    assert run.summary is not None
    assert run.reached("ndcg@10") == pytest.approx(run.summary["test"]["full"]["ndcg@10"], abs=1e-6)
    assert run.reached("ndcg@10", "popularity") == pytest.approx(
        run.summary["baselines"]["popularity"]["full"]["ndcg@10"], abs=1e-6
    )
    assert run.spent == run.summary["privacy"]["epsilon"]
    assert run.total("bytes_up") == run.summary["bytes_up"]
    assert run.baselines == ["popularity"]
    assert run.measures[0] == "ndcg@10"
    assert run.starts == [0, 2]
    assert [place for place, _ in run.curve("ndcg@10")] == [0, 1, 2, 2, 3, 4]


def test_a_run_that_goes_on_has_whole_lines_alone(runs, tmp_path):
    shutil.copytree(runs / "private", tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    with (tmp_path / "run" / "rounds.jsonl").open("a") as stream:
        stream.write('{"period": 1, "rou')
    run = read_run(tmp_path / "run")
    assert run.summary is None
    assert len(run.rounds) == 4


def test_what_is_no_run_or_damaged_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="no run's directory"):
        find_runs([tmp_path])
    shutil.copytree(runs / "private", tmp_path / "run")
    for name, text in (("audit.json", "{"), ("audit.json", "[]"), ("metrics.jsonl", "no\n")):
        (tmp_path / "run" / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name}: damaged"):
            read_run(tmp_path / "run")


def test_a_folder_of_runs_is_all_of_them_once(runs):
    assert [run.path.name for run in find_runs([runs, runs / "exact"])] == [
        "continual", "exact", "exact-2", "private", "private-4",
    ]  # fmt: skip


def test_seeds_are_grouped_and_what_differs_is_the_label(runs):
    groups = grouped([read_run(runs / name) for name in ("private", "private-4", "exact", "exact-2")])
    assert [group.label for group in groups] == ["user, central, epsilon 8", "user, central, epsilon 4", "no privacy"]
    assert [len(group.runs) for group in groups] == [1, 1, 2]
    estimate = groups[2].reached("ndcg@10")
    assert estimate is not None
    assert estimate.half is not None
    assert grouped([read_run(runs / "exact")])[0].label == "small"


def test_labels_that_would_be_long_are_directories(runs):
    groups = grouped([read_run(runs / name) for name in ("exact", "continual")])
    assert [group.label for group in groups] == ["exact", "continual"]
