"""configs/smoke.toml through the command line, in real processes: the same bytes again, after a kill, and on two workers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
SMOKE = ROOT / "configs" / "smoke.toml"


class CommandLine:
    """The `everbloom` command in one home and one working directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "EVERBLOOM_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "simulation.cli", *map(str, arguments)],
            cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        process = self.start(*arguments)
        out, error = process.communicate(timeout=300)
        return process.returncode, out, error

    def succeed(self, *arguments: object) -> str:
        """What it prints; nothing of it on stderr."""
        code, out, error = self(*arguments)
        assert (code, error) == (0, "")
        return out

    def fail(self, *arguments: object) -> str:
        """The one line that it says is wrong."""
        code, _, error = self(*arguments)
        assert code == 2, error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error.removeprefix("error: ").removesuffix("\n")


@pytest.fixture(scope="module")
def everbloom(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("command-line"))


@pytest.fixture(scope="module")
def finished(everbloom: CommandLine) -> tuple[Path, str]:
    """(directory, what was printed) of an uninterrupted run in one process; another one like it, `again`, runs beside it."""
    out, again = everbloom.folder / "finished", everbloom.folder / "again"
    everbloom.succeed("check", SMOKE)  # the data set and the features, which both find then
    processes = [everbloom.start("run", SMOKE, "--out", path) for path in (out, again)]
    ends = [(*process.communicate(timeout=300), process.returncode) for process in processes]
    assert [(error, code) for _, error, code in ends] == [("", 0)] * 2
    return out, ends[0][0]


def metrics(run: Path) -> bytes:
    return (run / "metrics.jsonl").read_bytes()


def rounds(run: Path) -> list[dict[str, Any]]:
    """The records of rounds, without what a clock decides."""
    lines = (run / "rounds.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def summary(run: Path) -> dict[str, Any]:
    whole = json.loads((run / "summary.json").read_text())
    return {key: value for key, value in whole.items() if key not in ("seconds", "peak_memory_mb")}


def same_run(one: Path, other: Path) -> bool:
    assert metrics(one) == metrics(other)
    assert rounds(one) == rounds(other)
    assert summary(one) == summary(other)
    assert people(one) == people(other)
    return True


def people(run: Path) -> dict[str, bytes]:
    """The records of users, by file."""
    found = {path.name: path.read_bytes() for path in (run / "per-user").iterdir()}
    assert found
    return found


def test_a_run_is_private_and_complete(finished):
    run, told = finished
    assert len(rounds(run)) == 12
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint", "devices", "environment.json", "experiment.toml", "metrics.jsonl", "per-user", "rounds.jsonl",
        "summary.json",
    ]  # fmt: skip
    found = summary(run)
    assert found["rounds"] == 12
    assert found["failed"] == 0
    assert found["privacy"]["unit"] == "example"
    assert 0 < found["privacy"]["epsilon"] <= found["privacy"]["budget"] <= 8
    assert rounds(run)[-1]["epsilon"] == found["privacy"]["epsilon"]
    assert told.count("epsilon") >= 12
    assert "differentially private" in " ".join(told.split())
    assert str(run) in told.replace("\n", "")


def test_one_seed_gives_the_same_bytes(everbloom, finished):
    assert same_run(everbloom.folder / "again", finished[0])


def test_two_workers_give_the_same_bytes_as_one(everbloom, finished):
    out = everbloom.folder / "workers"
    everbloom.succeed("run", SMOKE, "--out", out, "-s", "runtime.workers=2")
    assert same_run(out, finished[0])


def kill_after(rounds: int, process: "subprocess.Popen[str]", out: Path) -> None:
    """SIGKILL as soon as so many rounds are recorded."""
    record = out / "rounds.jsonl"
    while not record.exists() or record.read_bytes().count(b"\n") < rounds:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "summary.json").exists()


def test_killed_and_resumed_gives_the_same_bytes(everbloom, finished):
    """SIGKILL in the first period and in the second; the continued runs cannot be told from one that was never interrupted."""
    outs = {after: everbloom.folder / f"killed-{after}" for after in (2, 8)}
    started = {after: everbloom.start("run", SMOKE, "--out", out) for after, out in outs.items()}
    for after, process in started.items():
        kill_after(after, process, outs[after])
    resumed = [everbloom.start("run", "--resume", out) for out in outs.values()]
    for process in resumed:
        _, error = process.communicate(timeout=300)
        assert (process.returncode, error) == (0, "")
    for out in outs.values():
        assert same_run(out, finished[0])


def snapshot(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def test_a_checkpoint_of_another_schema_is_refused(everbloom, finished):
    out = everbloom.folder / "other-model"
    shutil.copytree(finished[0], out)
    experiment = out / "experiment.toml"
    resolved = experiment.read_text()
    assert "\ndim = 8\n" in resolved
    experiment.write_text(resolved.replace("\ndim = 8\n", "\ndim = 4\n"))
    before = snapshot(out)
    told = everbloom.fail("run", "--resume", out)
    assert "parameter schema" in told
    assert "is not this experiment's" in told
    assert snapshot(out) == before


def test_a_mistake_is_one_line_and_no_run(everbloom):
    told = everbloom.fail("run", SMOKE, "-s", "federation.cohrot=3", "--out", everbloom.folder / "never")
    assert "federation.cohrot: unknown key; did you mean 'cohort'?" in told
    assert not (everbloom.folder / "never").exists()
