"""A comparison from end to end: complete, continued, extended, refused."""

import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation import cli

from everbloom.errors import InputError, PrivacyError
from simulation.campaign import running
from simulation.continual import course


@pytest.fixture(autouse=True)
def quickly(request, monkeypatch):
    """Drawing takes longer than training here: one test does it."""
    if "drawing" not in request.fixturenames:
        monkeypatch.setattr(course, "draw_comparison", lambda results, title, folder: [])


@pytest.fixture
def drawing():
    """For a test that wants the pictures."""


def written() -> dict[str, int]:
    """When each file of the cells was written."""
    return {str(path): path.stat().st_mtime_ns for path in Path("out/cells").rglob("*") if path.is_file()}


@pytest.mark.usefixtures("drawing")
def test_a_comparison(compare):
    found, told = compare()
    assert [(result.learner.label, list(result.runs)) for result in found.learners] == [
        ("frozen", [5, 6]),
        ("finetune", [5, 6]),
    ]
    frozen, finetune = found.learners
    # A model that never learns again is the same in every row.
    assert set(frozen.values["forgetting"].values()) == set(frozen.values["forward_transfer"].values()) == {0.0}
    assert frozen.values["clients"] == {5: 0.0, 6: 0.0}
    assert finetune.values["rounds"] == {5: 6.0, 6: 6.0}
    # Both start from one warm start, and are one model on the first period.
    for measured, other in zip(frozen.runs.values(), finetune.runs.values(), strict=True):
        assert measured.next_period("ndcg@10")[1] == other.next_period("ndcg@10")[1]
        assert measured.memory_slice == "panel"
    assert {path.name for path in Path("out").iterdir()} == {
        "cells", "continual.toml", "continual.csv", "continual.json", "quality.png", "forgetting.png", "work.png",
    }  # fmt: skip
    assert told.splitlines()[0].startswith("1/4 frozen, seed 5: next-period NDCG@10 0.")
    assert "less finetune's; intervals over people and seeds" in told
    assert frozen.people["ndcg@10"].mean == frozen.differences["ndcg@10"].mean
    assert finetune.people == {}
    assert told.endswith("continual.csv, continual.json, quality.png, forgetting.png, work.png: out\n")


def test_a_deleted_cell_runs_again_and_nothing_else_changes(compare):
    compare()
    before, table = written(), Path("out/continual.csv").read_bytes()
    shutil.rmtree("out/cells/finetune-seed-6")
    kept = {path: at for path, at in before.items() if "finetune-seed-6" not in path}
    _, told = compare()
    assert told.startswith("1/1 finetune, seed 6: ")
    assert {path: written()[path] for path in kept} == kept
    assert Path("out/continual.csv").read_bytes() == table


def test_a_method_more_is_an_extension_and_one_less_is_not(compare):
    compare(seeds=1)
    found, told = compare("frozen,finetune,replay:budget=2", seeds=1)
    assert told.startswith("1/1 replay:budget=2, seed 5: ")
    assert [result.learner.label for result in found.finished] == ["frozen", "finetune", "replay:budget=2"]
    with pytest.raises(
        InputError, match="out: holds a comparison of continual methods with replay:budget=2, which this"
    ):
        compare(seeds=1)
    with pytest.raises(InputError, match=r"another experiment \(federation.rounds: 2 there, 3 here\)"):
        compare("frozen,finetune,replay:budget=2", seeds=1, overrides=("federation.rounds=3",))


def test_a_cell_that_fails_is_shown_and_the_others_go_on(compare, monkeypatch):
    run = running.run_in_process

    def failing(study, directory, observer, resume):
        if study.experiment.continual.method.name == "frozen":
            raise InputError("round 1: all 8 clients failed")
        return run(study, directory, observer, resume)

    monkeypatch.setattr(running, "run_in_process", failing)
    found, told = compare(seeds=1)
    assert [result.learner.label for result in found.finished] == ["finetune"]
    assert "failed: frozen, seed 5: round 1: all 8 clients failed" in told
    assert json.loads(Path("out/continual.json").read_text())["open"][0]["method"] == "frozen"
    assert "forward_transfer" not in found.finished[0].values  # nothing to compare with


def test_a_method_whose_claim_cannot_be_kept_is_refused_and_the_others_run(compare, monkeypatch):
    opened = course.study_with_progress

    def refusing(experiment, console):
        if experiment.continual.method.name == "frozen":
            raise PrivacyError("privacy.epsilon: too little")
        return opened(experiment, console)

    monkeypatch.setattr(course, "study_with_progress", refusing)
    found, told = compare(seeds=1)
    assert [result.learner.label for result in found.learners] == ["finetune"]
    assert "refused: frozen: privacy.epsilon: too little" in told
    with pytest.raises(PrivacyError, match=r"no method can be run; frozen: privacy.epsilon: too little"):
        compare("frozen", seeds=1, out="other")
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--methods", "finetun"], "--methods finetun: unknown method 'finetun'; expected some of: finetune, frozen, replay"),
        (["--methods", "replay:budget=none"], "replay:budget=none: continual.method.budget"),
        (["--seeds", "0"], "--seeds 0: expected 1 or more"),
        (["-s", "evaluation.k=[10]"], "evaluation.k: the tables show NDCG@10, HR@10, RECALL@20; include 10 and 20"),
        (["-s", "protocol={name = 'leave-one-out'}", "-s", "continual=none"], 'protocol.name: "leave-one-out" has no periods'),
        (["--out", "."], "exists and holds no comparison of continual methods (continual.toml is missing); give another --out"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tiny_file, monkeypatch, capsys, arguments, told):
    monkeypatch.setattr(sys, "argv", ["everbloom", "continual", str(tiny_file), *arguments])
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2, error
    assert told in error
    assert error.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["tiny.toml"]  # nothing is written
