"""A run's directory: never over another, readable by anyone."""

import json

import pytest

from everbloom.errors import CheckpointError, InputError
from server.run_directory import RunDirectory


def test_a_new_run_holds_what_is_needed_to_repeat_it(tmp_path, small):
    experiment = small(privacy=True)
    run = RunDirectory.create(tmp_path / "a" / "b", experiment)
    assert run.experiment == experiment
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["seed"] == 3
    assert {"everbloom", "flwr", "torch", "opacus"} <= set(environment["versions"])
    assert environment["python"].count(".") == 2
    assert run.records("rounds") == run.records("metrics") == []


def test_an_empty_folder_may_be_used(tmp_path, small):
    RunDirectory.create(tmp_path, small())
    assert (tmp_path / "experiment.toml").is_file()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_nothing_is_written_over(tmp_path, small, what):
    path = tmp_path / "run"
    precious = path if what == "file" else path / "notes.txt"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("precious")
    with pytest.raises(InputError, match="exists and is not empty; give another --out, or continue it with --resume"):
        RunDirectory.create(path, small())
    assert precious.read_text() == "precious"
    assert not (path / "experiment.toml").exists()


@pytest.mark.parametrize("missing", ["experiment.toml", "rounds.jsonl", "metrics.jsonl"])
def test_what_is_no_run_cannot_be_resumed(tmp_path, small, missing):
    run = RunDirectory.create(tmp_path / "run", small())
    assert RunDirectory.open(run.path) == run
    (run.path / missing).unlink()
    with pytest.raises(CheckpointError, match=f"no run to resume here \\({missing} is missing\\)"):
        RunDirectory.open(run.path)


def test_records_are_lines_of_json(tmp_path, small):
    run = RunDirectory.create(tmp_path, small())
    run.append("rounds", {"round": 1, "epsilon": None})
    run.append("rounds", {"round": 2, "epsilon": 0.5})
    assert (tmp_path / "rounds.jsonl").read_text() == '{"round": 1, "epsilon": null}\n{"round": 2, "epsilon": 0.5}\n'
    assert run.records("rounds")[1] == {"round": 2, "epsilon": 0.5}
    assert run.lengths() == {"rounds": 59, "metrics": 0}
    assert run.rounds_done() == 2
    run.truncate({"rounds": 30})
    assert run.records("rounds") == [{"round": 1, "epsilon": None}]


def test_a_line_that_was_cut_short_is_no_round(tmp_path, small):
    run = RunDirectory.create(tmp_path, small())
    run.append("rounds", {"round": 1})
    with (tmp_path / "rounds.jsonl").open("a") as stream:
        stream.write('{"rou')
    assert run.rounds_done() == 1


def test_files_appear_whole(tmp_path, small):
    run = RunDirectory.create(tmp_path, small())
    run.write("summary.json", "{}")
    run.write("summary.json", "{} ")
    assert (tmp_path / "summary.json").read_text() == "{} "
    assert not list(tmp_path.glob(".*"))
