"""Processes that are asked to end, killed one by one, or started again under their name."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from everbloom.errors import InputError
from simulation.processes import processes

POLITE = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0))); "
    "print('up', flush=True); time.sleep(300)"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"


@pytest.fixture
def started(tmp_path):
    with processes(tmp_path) as found:
        yield found


def start(started, name: str, text: str) -> int:
    process = started.start(name, [sys.executable, "-S", "-c", text], os.environ)
    before = started.log(name).read_text().count("up")
    deadline = time.monotonic() + 60
    while started.log(name).read_text().count("up") <= before - 1 or not started.log(name).read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process.pid


def test_who_is_asked_ends_by_itself_and_who_does_not_is_killed(started):
    polite, deaf = start(started, "polite", POLITE), start(started, "deaf", DEAF)
    started.ask_to_end(["polite"], 60.0)
    assert started.running() == ["deaf"]
    assert "bye" in Path(started.log("polite")).read_text()
    started.ask_to_end(["polite", "deaf", "nobody"], 0.2)
    assert started.running() == ["deaf"]
    started.stop()
    for pid in (polite, deaf):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_one_is_killed_and_started_again_under_its_name(started):
    first = start(started, "part", POLITE)
    started.end("part", signal.SIGKILL)
    with pytest.raises(InputError, match=r"part ended by itself \(status -9\)"):
        started.check(["part"])
    second = start(started, "part", POLITE)
    assert second != first
    started.check(["part"])
    assert "bye" not in started.log("part").read_text(), "it was killed"
    third = start(started, "part", POLITE)
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
    assert started.running() == ["part"]
    assert third != second
