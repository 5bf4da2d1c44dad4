"""The smallest experiment that a frontier can be made of, and the command in this process."""

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

from simulation.frontier.course import run_frontier
from simulation.frontier.results import Results

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
[privacy]
unit = "example"
epsilon = 8
delta = 1e-3
[federation]
rounds = 3
cohort = 5
[evaluation]
every = 1
slices = false
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny.toml` in an empty working directory: one period, three rounds, a fraction of a second."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(EXPERIMENT)
    return Path("tiny.toml")


@pytest.fixture
def frontier(experiment: Path) -> Callable[..., tuple[Results, str]]:
    """(epsilons, seeds, out, **options) -> the results and what was printed."""

    def run(
        epsilons: str = "2,8,none",
        seeds: int = 2,
        out: str | None = "out",
        overrides: tuple[str, ...] = (),
        units: tuple[str, ...] = (),
        mechanisms: tuple[str, ...] = (),
    ) -> tuple[Results, str]:
        stream = io.StringIO()
        console = Console(file=stream, width=100, color_system=None)
        folder = None if out is None else Path(out)
        found = run_frontier(experiment, overrides, [epsilons], units, mechanisms, seeds, folder, console)
        return found, stream.getvalue()

    return run


@pytest.fixture
def mistaken(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one line on stderr with which `everbloom frontier tiny.toml ...` ends, after exit code 2."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["everbloom", "frontier", "tiny.toml", *arguments])
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
