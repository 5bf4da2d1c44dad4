"""Trials in processes of their own: the same again, whatever is fast, killed and continued."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everbloom.errors import InputError
from simulation.sweep import course
from simulation.sweep.crew import Processes, _Batch
from simulation.sweep.trial import Outcome, Progress, Trial


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Without pictures."""
    monkeypatch.setattr(course, "draw_sweep", lambda results, path: path)


@pytest.fixture
def parallel(write_sweep):
    """Two trials at a time, hopeless ones given up, and more rounds than are soon over."""
    write_sweep("seeds = 2", "workers = 2")
    write_sweep("trials = 5", "trials = 6")
    write_sweep('name = "none"', 'name = "median"\nstartup = 2')


def files(out):
    return {name: (Path(out) / name).read_bytes() for name in ("sweep.csv", "sweep.json", "best.toml")}


@pytest.mark.usefixtures("parallel")
def test_killed_with_its_workers_and_continued_gives_the_same(sweeping, folder):
    found, _ = sweeping("whole")
    assert {result.status for result in found.trials} == {"done", "pruned"}
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "simulation.cli", "sweep", "sweep.toml", "--out", "out"]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while not list(Path("out/cells").glob("trial-002*/rounds.jsonl")):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # the workers notice
    sweeping("out")
    assert files("out") == files("whole")


def test_a_dead_worker_is_reported(folder):
    processes = Processes(1)
    try:
        processes._processes[0].kill()
        processes._processes[0].join()
        with pytest.raises(InputError, match="the process of trial 3 died"):
            processes.run([Trial(3, (), "ndcg@10")], None, lambda number, progress: None)
    finally:
        processes.stop()


def test_decisions_wait_for_everybody_and_are_made_in_the_order_of_trials():
    """Whoever is faster: a decision is made when all who are still judged have asked, and by the trials' order."""

    class Line:
        def __init__(self):
            self.answers = []

        def send(self, answer):
            self.answers.append(answer)

    class Numbered:
        def __init__(self, number):
            self.number = number

    lines = [Line(), Line(), Line()]
    judged = []

    def judge(number, rounds, value):
        judged.append((number, rounds))
        return value < 0.5

    batch = _Batch({line: Numbered(number) for number, line in enumerate(lines)}, judge, lambda number, progress: None)
    batch.hear(lines[2], (1, 0.9))
    batch.hear(lines[0], (1, 0.1))
    batch.decide()
    assert judged == []
    batch.hear(lines[1], (1, 0.7))
    batch.decide()
    assert judged == [(0, 1), (1, 1), (2, 1)]
    assert [line.answers for line in lines] == [[True], [False], [False]]
    batch.hear(lines[2], (2, 0.9))
    batch.decide()
    assert len(judged) == 3  # the first has not yet said that it ended
    batch.hear(lines[0], Outcome(0, "pruned"))
    batch.hear(lines[1], Progress(1, 1, None))  # past its first run: judged no more
    batch.decide()
    assert judged[3:] == [(2, 2)]
