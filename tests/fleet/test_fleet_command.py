"""`everbloom deploy fleet` by itself: up, looked at, and down again by Ctrl-C with nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.deployment.making import nginx_program

REPO = Path(__file__).parent.parent.parent


def left_of(folder: Path) -> list[str]:
    """Commands of living processes that name the folder, in their environment or their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(folder).encode() in told and state != "Z" and int(entry.name) != os.getpid():
            found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def run(out: Path) -> None:
    """An operator's `deploy run` from another terminal, and what it leaves."""
    words = [
        "run",
        str(out / "experiment.toml"),
        "-d",
        str(out / "server"),
        "--devices",
        "2",
        "-s",
        "federation.rounds=1",
    ]
    told = subprocess.run(
        [sys.executable, "-m", "simulation.cli", "deploy", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 failed" in told.stdout
    rounds = (out / "server" / "runs" / "smoke" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["clients"] for line in rounds] == [2, 2]
    look = [sys.executable, "-m", "simulation.cli", "deploy", "status", "-d", str(out / "server"), "--json"]
    seen = json.loads(subprocess.run(look, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert [run["outcome"] for run in seen["runs"]] == ["completed"]


@pytest.fixture
def interruptible():
    """A command inherits that Ctrl-C is ignored, which is how a shell starts what it puts in the background, this suite perhaps."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fleet_comes_up_and_ends_without_a_trace(tmp_path, number, interruptible):
    if nginx_program() is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    out = tmp_path / "fleet"
    words = [
        sys.executable,
        "-m",
        "simulation.cli",
        "deploy",
        "fleet",
        str(REPO / "configs" / "smoke.toml"),
        "--devices",
        "2",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    try:
        told = ""
        for line in process.stdout:
            told += line
            if "Ctrl-C stops everything" in line:
                break
        assert "everbloom deploy status" in told, told
        look = [sys.executable, "-m", "simulation.cli", "deploy", "status", "-d", str(out / "server"), "--json"]
        seen = json.loads(subprocess.run(look, capture_output=True, text=True, check=True, timeout=120).stdout)
        assert [node["status"] for node in seen["nodes"]] == ["online"] * 2
        check = [sys.executable, "-m", "simulation.cli", "doctor", str(out / "server")]
        doctor = subprocess.run(check, capture_output=True, text=True, check=False, timeout=120)
        assert doctor.returncode == 0, doctor.stdout
        assert "/v1/control/list-runs: closed" in doctor.stdout
        assert "clock: within" in doctor.stdout
        if number == signal.SIGINT:
            run(out)
        process.send_signal(number)
        assert process.wait(timeout=120) in (130, 143)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 30
    while left_of(out) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left_of(out) == []
