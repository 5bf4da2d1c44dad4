"""The smallest experiment that a sweep can search, and the command in this process."""

import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation import cli

from simulation.sweep.course import run_sweep
from simulation.sweep.results import Results

EXPERIMENT = """
name = "tiny"
seed = 5
[data]
text = "{title}"
[data.source]
name = "synthetic"
users = 10
items = 30
events_per_user = 15
[protocol]
name = "leave-one-out"
[model]
dim = 8
[model.user]
layers = 0
history = 4
feedforward = 1
[learning]
examples = "next-item"
negatives = 8
[federation]
rounds = 4
cohort = 5
optimizer = { name = "fedadam" }
[evaluation]
every = 1
slices = false
"""
SWEEP = """
experiment = "tiny.toml"
trials = 5
seeds = 2
[pruner]
name = "none"
[sampler]
name = "tpe"
startup = 2
[space]
"federation.optimizer.learning_rate" = { low = 0.001, high = 1.0, log = true }
"model.dim" = { low = 4, high = 8, step = 2 }
"learning.objective" = [{ name = "bce" }, { name = "sampled-softmax" }]
"""

Sweeping = Callable[..., tuple[Results, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny.toml` and `sweep.toml` in the working directory: four rounds, a fraction of a second each run."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(EXPERIMENT)
    Path("sweep.toml").write_text(SWEEP)
    return tmp_path


@pytest.fixture
def write_sweep(folder: Path) -> Callable[[str, str], None]:
    """(old, new): the sweep's file with a part replaced."""

    def write(old: str, new: str) -> None:
        text = Path("sweep.toml").read_text()
        assert old in text
        Path("sweep.toml").write_text(text.replace(old, new))

    return write


@pytest.fixture
def sweeping(folder: Path) -> Sweeping:
    """(out, trials, *overrides) -> the results, and what was printed."""

    def run(out: str = "out", trials: int | None = None, *overrides: str) -> tuple[Results, str]:
        stream = io.StringIO()
        console = Console(file=stream, width=120, color_system=None)
        found = run_sweep(Path("sweep.toml"), overrides, trials, Path(out), console)
        return found, stream.getvalue()

    return run


@pytest.fixture
def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line on stderr with which `everbloom sweep sweep.toml ...` ends, after exit code 2."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["everbloom", "sweep", "sweep.toml", *arguments])
        monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        error = capsys.readouterr().err
        assert ended.value.code == 2, error
        assert error.startswith("error: "), error
        assert error.count("\n") == 1
        return error.removeprefix("error: ").rstrip("\n")

    return run
