"""`everbloom baselines`: every reference on the experiment's own test, in one table."""

import io
import sys
import warnings
from pathlib import Path

import pytest
from rich.console import Console

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation import cli

from everbloom.methods import BASELINES
from simulation.baselines import run_baselines

EXPERIMENT = """
name = "tiny"
[data]
text = "{title}"
source = { name = "synthetic", users = 30, items = 25, events_per_user = 12 }
[protocol]
name = "timeline"
cut = "counts"
periods = 3
warm_start = 0.5
[model.items]
features = { name = "tfidf", dims = 4 }
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(EXPERIMENT)
    return Path("tiny.toml")


def told(experiment: Path, only: list[str], *overrides: str) -> tuple[list[str], str]:
    stream = io.StringIO()
    results = run_baselines(experiment, overrides, only, Console(file=stream, width=80, color_system=None))
    return list(results.reached), stream.getvalue()


def test_all_of_them_over_all_tested_periods(experiment):
    found, text = told(experiment, [])
    assert found == BASELINES.names()
    assert "…" not in text
    assert "tiny: 30 users, " in text
    assert "test cases in 2 periods" in text
    assert "HR, 99" not in text  # no candidates are stored


def test_some_of_them_with_options(experiment):
    found, _ = told(experiment, ["ease:l2=2,ease:l2=900", "markov"])
    assert found == ["ease:l2=2", "ease:l2=900", "markov"]


def test_who_does_not_fit_is_left_out_unless_asked_for(experiment):
    found, text = told(experiment, [], "model.items.features=none")
    assert "item-text-knn" not in found
    assert "left out: item-text-knn: compares item features" in text


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("eas", "--only eas: unknown baseline 'eas'; expected some of: popularity, "),
        ("ease:l3=4", "--only ease:l3=4: l3: Extra inputs are not permitted"),
        ("ease:max_items=3", " items are more than max_items = 3"),
    ],
)
def test_mistakes_are_one_line(experiment, monkeypatch, capsys, only, message):
    monkeypatch.setattr(sys, "argv", ["everbloom", "baselines", str(experiment), "--only", only])
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.count("\n") == 1
