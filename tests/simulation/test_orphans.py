"""Worker processes do not outlive a simulation, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILDREN = Path("/proc/self/task")
SECONDS = 60.0


def workers_of(process):
    """Process numbers of the workers that `process` has started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def alive(process):
    """Whether it runs; one that has ended and waits to be asked how does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.skipif(not CHILDREN.is_dir(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_run(tmp_path, number):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "simulation.cli", "run", "configs/smoke.toml", "--out", str(run)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [*command, "-s", "runtime.workers=2", "-s", "federation.rounds=5000"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rounds = run / "rounds.jsonl"
    try:
        until(lambda: rounds.is_file() and rounds.stat().st_size > 0)
        workers = workers_of(process.pid)
        assert len(workers) == 2
        process.send_signal(number)
        process.wait()
        until(lambda: not any(alive(worker) for worker in workers))
    finally:
        process.kill()
        process.wait()
