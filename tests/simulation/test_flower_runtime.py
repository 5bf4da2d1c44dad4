"""Flower itself, on loopback: the same result as in process, clear errors, and nothing left running."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from everbloom.errors import InputError
from everbloom.study import Study
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation import flower
from simulation.commands import start_run
from simulation.flower import run_on_superlink
from simulation.run import run_in_process

PRIVACY = {
    "none": {"unit": "none"},
    "example": {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 10},
    "user": {
        "unit": "user",
        "epsilon": 8.0,
        "delta": 1e-3,
        "mechanism": {"name": "distributed", "min_cohort": 3},
    },
}


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files go where the test can look for what is left of them."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def quiet() -> Console:
    return Console(file=StringIO(), width=300)


def processes_of(scratch: Path) -> list[str]:
    """Commands of living processes whose environment names the scratch folder (where there is a /proc to ask)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment, state = (
                (entry / "environ").read_bytes(),
                (entry / "stat").read_text().rpartition(")")[2].split(),
            )
            if str(scratch).encode() in environment and state[0] != "Z":
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return found


def left_over(scratch: Path) -> list[Path]:
    """What everbloom left in the temporary folder (other libraries use it too)."""
    return list(scratch.glob("everbloom-*"))


def in_process(study: Study, out: Path) -> Path:
    run = RunDirectory.create(out, study.experiment)
    run_in_process(study, run, Silent(), resume=False)
    return out


def parameters(run: Path) -> np.ndarray:
    (arrays,) = (run / "checkpoint").glob("*.safetensors")
    return load_file(arrays)["parameters"]


def records(run: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.flower
@pytest.mark.parametrize(("unit", "users", "rounds"), [("none", 2, 2), ("example", 2, 2), ("user", 3, 1)])
def test_a_superlink_with_supernodes_gives_the_in_process_result(unit, users, rounds, tiny, opened, tmp_path, scratch):
    """By the unit of a user under secure aggregation: five exchanges a round, and the sum that three devices in process give without masks."""
    experiment = tiny(users=users, rounds=rounds, privacy=PRIVACY[unit])
    path = tmp_path / "tiny.toml"
    path.write_text(experiment.to_toml())
    told = quiet()

    summary = start_run(path, ["runtime.name=flower"], tmp_path / "flower", told)
    study = opened(experiment)
    expected = in_process(study, tmp_path / "in-process")

    found = parameters(tmp_path / "flower")
    np.testing.assert_allclose(found, parameters(expected), rtol=0, atol=1e-5)
    assert np.abs(found - study.layout.flat(study.new_model())).max() > 1e-3, "it learnt"
    for ours, theirs in zip(records(tmp_path / "flower", "metrics"), records(expected, "metrics"), strict=True):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert ours[key] == (pytest.approx(value, rel=0, abs=1e-5) if isinstance(value, float) else value), key
    counted = ("period", "round", "clients", "failed", "bytes_up", "bytes_down", "epsilon")
    for ours, theirs in zip(records(tmp_path / "flower", "rounds"), records(expected, "rounds"), strict=True):
        assert [ours[key] for key in counted] == [theirs[key] for key in counted]
        assert ours["clients"] == users
    assert summary["test"] == json.loads((expected / "summary.json").read_text())["test"]
    assert summary["privacy"]["unit"] == unit
    assert f"period 0 round {rounds}: {users} clients, 0 failed" in told.file.getvalue()  # type: ignore[attr-defined]
    assert processes_of(scratch) == []
    assert left_over(scratch) == []


LINK = """
import socket, subprocess, sys, time
subprocess.Popen(["sleep", "300"])
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))):
    time.sleep(300)
"""
NODE = "import time; time.sleep(300)"
REFUSED = "print('log'); print('everbloom.errors.InputError: 1 of 2 devices connected'); print('more log')"


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Puts scripts in the place of Flower's commands."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setattr(flower, "scripts_folder", lambda: folder)

    def write(**scripts: str) -> None:
        scripts = {
            "flower_superlink": LINK,
            "flower_supernode": NODE,
            "flower_superexec": NODE,
            "flwr": REFUSED,
            **scripts,
        }
        for name, text in scripts.items():
            script = folder / name.replace("_", "-")
            script.write_text(f"#!{sys.executable} -S\n{text}\n")
            script.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("scripts", "told"),
    [
        ({}, r"the run on Flower failed: 1 of 2 devices connected; its log is (\S+)"),
        ({"flwr": "raise SystemExit('boom')"}, r"the run on Flower failed: .*; its log is (\S+)"),
        ({"flower_superlink": "print('port taken')"}, r"superlink ended by itself \(status 0\); its log is (\S+)"),
        (
            {"flower_supernode": "import sys; sys.exit(3)", "flwr": NODE},
            # Both nodes end at once, and whichever was looked at after its end is named, with its own log.
            r"(supernode-[01]) ended by itself \(status 3\); its log is \S+/\1\.log$",
        ),
    ],
)
def test_what_goes_wrong_is_one_line_that_names_the_log(scripts, told, stand_ins, tiny, tmp_path, scratch):
    stand_ins(**scripts)
    with pytest.raises(InputError, match=told) as caught:
        run_on_superlink(tiny(), tmp_path / "out", quiet())
    assert "\n" not in str(caught.value)
    log = Path(str(caught.value).rpartition(" ")[2])
    assert log.is_file()
    assert not (tmp_path / "out").exists(), "the same --out can be given again"
    assert processes_of(scratch) == []
    assert left_over(scratch) == [log.parent]


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """A shell starts what it runs in the background deaf to Ctrl-C; this process may be one of those."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_an_interrupted_run_leaves_nothing_running(
    number, raised, stand_ins, tiny, tmp_path, scratch, hears_interrupts
):
    reached = tmp_path / "reached"
    stand_ins(flwr=f"open({str(reached)!r}, 'w').close(); {NODE}")

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not reached.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    with pytest.raises(raised):
        run_on_superlink(tiny(), tmp_path / "out", quiet())
    assert processes_of(scratch) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_many_users_are_refused_before_anything_starts(tiny, tmp_path, scratch):
    with pytest.raises(
        InputError, match=r"one SuperNode of some 250 MB for each of the 17 users, at most 16; use --runtime in-process"
    ):
        run_on_superlink(tiny(users=17), tmp_path / "out", quiet())
    assert left_over(scratch) == []


def test_an_existing_run_is_not_written_over(tiny, tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(InputError, match="exists and is not empty; give another --out"):
        run_on_superlink(tiny(), tmp_path, quiet())


def test_an_installation_without_source_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(flower.everbloom, "__file__", str(tmp_path / "everbloom" / "__init__.py"))
    with pytest.raises(InputError, match=r"is an installation without pyproject.toml; clone the repository"):
        run_on_superlink(tiny(), tmp_path / "out", quiet())


BUNDLE = """
import io, pathlib, sys, zipfile
from flwr.cli.build import build_fab_from_disk
print(*zipfile.ZipFile(io.BytesIO(build_fab_from_disk(pathlib.Path(sys.argv[1])))).namelist())
"""


def test_the_bundle_holds_what_the_server_and_a_device_import(tmp_path):
    copied = flower.copy_app(flower.app_directory(), tmp_path)
    built = subprocess.run([sys.executable, "-c", BUNDLE, copied], capture_output=True, text=True, check=True)
    names = built.stdout.split()
    assert {"server/app.py", "client/app.py", "everbloom/data/sources/synthetic.py", "configs/smoke.toml"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "runs/", "docs/"))]
