"""Watching shows what the run shows: the same lines in the same order, whether the run is finished, goes on, or is resumed."""

import io
import json
import threading

import pytest
from rich.console import Console

from everbloom.errors import InputError
from server.run_directory import RunDirectory
from simulation.console import RunConsole
from simulation.run import run_in_process
from simulation.watching import Tail, watch_run

PERIODS = {"protocol": {"cut": "counts", "periods": 3, "warm_start": 0.5}}


def plain() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=200), stream


@pytest.fixture
def started(small, study_of, tmp_path):
    """(**tables) -> an empty run's directory and a function that runs it and returns what its console said."""

    def make(**tables):
        experiment = small(**tables)
        study = study_of(experiment)
        run = RunDirectory.create(tmp_path / "run", experiment)

        def go() -> str:
            console, stream = plain()
            watcher = RunConsole(console, study.rounds, "run")
            with watcher.watching(done=0):
                run_in_process(study, run, watcher, resume=False)
            return stream.getvalue()

        return run.path, go

    return make


@pytest.mark.parametrize(
    "tables",
    [PERIODS, {"protocol": {"name": "leave-one-out"}}, {**PERIODS, "continual": {"panel": 0.3}}],
    ids=["timeline", "leave-one-out", "continual"],
)
def test_a_finished_run_is_told_as_it_told_itself(started, tables):
    path, go = started(**tables)
    said = go()
    console, stream = plain()
    watch_run(path, console)
    assert stream.getvalue().startswith(said)
    assert "client updates" in stream.getvalue()  # the summary


def test_a_run_that_goes_on_is_followed_to_its_end(started):
    path, go = started(**PERIODS)
    console, stream = plain()
    watching = threading.Thread(target=watch_run, args=(path, console, 0.01))
    watching.start()
    said = go()
    watching.join(timeout=60)
    assert not watching.is_alive()
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("period")] == [
        line for line in said.splitlines() if line.startswith("period")
    ]
    assert set(said.splitlines()) <= set(lines)


def test_a_terminal_has_the_table(started):
    path, go = started(**PERIODS)
    go()
    stream = io.StringIO()
    watch_run(path, Console(file=stream, force_terminal=True, width=120))
    assert "NDCG@10" in stream.getvalue()
    assert "6/6" in stream.getvalue()


def test_half_a_line_is_left_and_a_file_cut_back_is_read_on(tmp_path):
    path = tmp_path / "rounds.jsonl"
    path.write_text('{"round": 1}\n{"round": 2}\n{"rou')
    tail = Tail(path)
    assert [row["round"] for row in tail.read()] == [1, 2]
    path.write_text('{"round": 1}\n{"round": 2}\n{"round": 3}\n')
    assert [row["round"] for row in tail.read()] == [3]
    path.write_text('{"round": 1}\n')  # resumed from a checkpoint
    assert tail.read() == []
    with path.open("a") as stream:
        stream.write(json.dumps({"round": 2}) + "\n")
    assert [row["round"] for row in tail.read()] == [2]


def test_where_there_is_no_run_it_says_so(tmp_path):
    with pytest.raises(InputError, match="no run to watch here"):
        watch_run(tmp_path, plain()[0])
