"""A population whose loop takes seconds, and the command in this process."""

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

from everbloom.experiment import Experiment, load_experiment
from everbloom.study import Study, open_study
from simulation.feedback.course import run_feedback
from simulation.feedback.results import Results

EXPERIMENT = """
name = "tiny"
seed = 5
[data]
text = "{title}"
[data.source]
name = "synthetic"
users = 40
items = 50
events_per_user = 15
drift = 0
new_item_rate = 0
new_user_rate = 0
seed = 1
[protocol]
cut = "counts"
periods = 2
warm_start = 0.5
[model]
dim = 8
[model.user]
layers = 0
history = 6
feedforward = 1
dropout = 0
[learning]
objective = { name = "sampled-softmax", mask_history = true }
negatives = 16
[federation]
rounds = 3
cohort = 15
[feedback]
steps = 3
rounds = 2
top_n = 5
repeats = true
outside = 2
[evaluation]
every = 1
slices = false
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny.toml` in an empty working directory: three steps of two rounds, a second or two."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(EXPERIMENT)
    return Path("tiny.toml")


@pytest.fixture
def load(experiment: Path) -> Callable[..., Experiment]:
    """(*overrides) -> the experiment."""
    return lambda *overrides: load_experiment(experiment, overrides)


@pytest.fixture
def opened(load: Callable[..., Experiment]) -> Callable[..., Study]:
    """(*overrides) -> the experiment on its data."""
    return lambda *overrides: open_study(load(*overrides), lambda done, total: None, lambda done, total: None)


@pytest.fixture
def feedback(experiment: Path) -> Callable[..., tuple[Results, str]]:
    """(*overrides, seeds, out, explorations, user_model) -> the results and what was printed."""

    def run(
        *overrides: str,
        seeds: int = 1,
        out: str = "out",
        explorations: tuple[str, ...] = (),
        user_model: str | None = None,
    ) -> tuple[Results, str]:
        stream = io.StringIO()
        console = Console(file=stream, width=100, color_system=None)
        found = run_feedback(experiment, overrides, user_model, explorations, seeds, Path(out), console)
        return found, stream.getvalue()

    return run


@pytest.fixture
def mistaken(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one line on stderr with which `everbloom feedback tiny.toml ...` ends, after exit code 2."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["everbloom", "feedback", "tiny.toml", *arguments])
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
