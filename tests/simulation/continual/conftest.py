"""The smallest experiment that methods of learning on can be compared with, and the command in this process."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from simulation.continual.course import run_comparison
from simulation.continual.results import Results

EXPERIMENT = """
name = "tiny"
seed = 5
[data]
text = "{title}"
[data.source]
name = "synthetic"
users = 24
items = 30
events_per_user = 20
new_user_rate = 0.0
seed = 2
[protocol]
name = "timeline"
cut = "counts"
periods = 4
warm_start = 0.5
validation = 0.2
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
rounds = 2
cohort = 8
[continual]
method = { name = "replay", budget = 3 }
warm_rounds = 3
panel = 0.3
[evaluation]
every = 1
"""


@pytest.fixture
def tiny_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny.toml` in an empty working directory: four periods of a few rounds, about a second."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(EXPERIMENT)
    return Path("tiny.toml")


@pytest.fixture
def compare(tiny_file: Path) -> Callable[..., tuple[Results, str]]:
    """(methods, seeds, out, overrides, epsilons) -> the results and what was printed."""

    def run(
        methods: str = "frozen,finetune",
        seeds: int = 2,
        out: str = "out",
        overrides: tuple[str, ...] = (),
        epsilons: tuple[str, ...] = (),
    ) -> tuple[Results, str]:
        stream = io.StringIO()
        console = Console(file=stream, width=80, color_system=None)
        found = run_comparison(tiny_file, overrides, [methods], seeds, Path(out), console, epsilons)
        return found, stream.getvalue()

    return run
