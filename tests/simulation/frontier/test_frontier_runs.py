"""A frontier from end to end: complete, interrupted and continued, extended, refused."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from everbloom.errors import InputError, PrivacyError
from server.run_directory import RunDirectory
from simulation.campaign import running
from simulation.campaign.progress import CampaignConsole
from simulation.frontier import course


def results(out: str = "out") -> tuple[bytes, bytes]:
    return (Path(out) / "frontier.csv").read_bytes(), (Path(out) / "frontier.json").read_bytes()


def written(folder: str = "out") -> dict[str, int]:
    """When each file of the cells was written."""
    return {str(path): path.stat().st_mtime_ns for path in Path(folder, "cells").rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def quickly(request, monkeypatch):
    """Drawing takes longer than training here: one test does it, the others leave an empty file."""

    def empty(results, title, path):
        path.touch()
        return path

    if "drawing" not in request.fixturenames:
        monkeypatch.setattr(course, "draw_frontier", empty)


@pytest.fixture
def drawing():
    """For a test that wants the picture."""


@contextmanager
def interrupted(rounds: int) -> Iterator[None]:
    """The n-th round ends in Ctrl-C, before its checkpoint."""
    left = iter(range(rounds, 0, -1))
    done = CampaignConsole.round_done

    def round_done(self, record, reasons):
        if next(left, 0) == 1:
            raise KeyboardInterrupt
        done(self, record, reasons)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CampaignConsole, "round_done", round_done)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.usefixtures("drawing")
def test_a_frontier(frontier):
    found, told = frontier()
    assert [(row["epsilon"], row["seed"], row["status"]) for row in found.rows] == [
        (2.0, 5, "done"), (8.0, 5, "done"), (None, 5, "done"), (2.0, 6, "done"), (8.0, 6, "done"), (None, 6, "done"),
    ]  # fmt: skip
    assert [point.seeds for point in found.points] == [2, 2, 2]
    assert found.rows[0]["epsilon_spent"] <= 2 < found.rows[1]["epsilon_spent"] <= 8
    assert {path.name for path in Path("out").iterdir()} == {
        "cells",
        "frontier.csv",
        "frontier.json",
        "frontier.toml",
        "frontier.png",
    }
    lines = told.splitlines()
    assert lines[0].startswith("1/6 example")
    assert "about" in lines[0]
    assert lines[5].startswith("6/6 no privacy, seed 6: NDCG@10 0.")
    assert "left" not in lines[5]
    assert lines[-1] == "frontier.csv, frontier.json, frontier.png: out"
    # The same call again shows the same and runs nothing.
    before, at = results(), written()
    _, again = frontier()
    assert results() == before
    assert written() == at
    assert again.splitlines() == lines[6:]
    # Each cell is an ordinary run, with the privacy and the seed of its name.
    run = RunDirectory.open(Path("out/cells") / next(name.name for name in Path("out/cells").glob("*epsilon-2-seed-6")))
    assert (run.experiment.seed, run.experiment.privacy.epsilon, run.experiment.runtime.device) == (6, 2.0, "auto")


def test_interrupted_within_cells_and_continued_gives_the_same_files(frontier):
    """In the first cell before any checkpoint, in the second after one, and in the last as its last round ends."""
    frontier("2,none", out="whole")
    with interrupted(1):
        frontier("2,none")
    assert not Path("out/frontier.csv").exists()
    with interrupted(5):
        frontier("2,none")
    assert results()[0].count(b"done") == 1
    with interrupted(8):  # two rounds of the second cell were left, then three of each of the last two
        frontier("2,none")
    assert results()[0].count(b"done") == 3
    _, told = frontier("2,none")
    assert told.startswith("1/1 no privacy, seed 6: ")
    assert results() == results("whole")
    for cell in Path("whole/cells").iterdir():
        assert (cell / "metrics.jsonl").read_bytes() == (Path("out/cells") / cell.name / "metrics.jsonl").read_bytes()


def test_a_run_directory_that_was_half_made_is_made_again(frontier):
    frontier("none", seeds=1, out="whole")
    frontier("none", seeds=1)
    run = Path("out/cells/no-privacy-seed-5")
    for name in ("summary.json", "metrics.jsonl", "rounds.jsonl"):
        (run / name).unlink()
    frontier("none", seeds=1)
    assert results() == results("whole")


def test_an_extended_grid_runs_what_is_new_alone(frontier):
    frontier("2,none", seeds=1)
    at = written()
    found, told = frontier("2,8,none", seeds=2)
    assert {path: written()[path] for path in at} == at
    assert "4/4" in told
    assert "5/5" not in told
    assert all(row["status"] == "done" for row in found.rows)
    assert [point.seeds for point in found.points] == [2, 2, 2]


def test_what_is_no_extension_is_refused_and_changes_nothing(frontier, experiment):
    frontier("2", seeds=1)
    before, at = results(), written()
    with pytest.raises(
        InputError, match=r"out: holds a frontier with example.*, epsilon 2, which this grid leaves out; ask for it too"
    ):
        frontier("4", seeds=1)
    with pytest.raises(InputError, match="out: holds a frontier with seed 5, which"):
        frontier("2", seeds=1, overrides=("seed=6",))
    with pytest.raises(
        InputError, match=r"another experiment \(federation.rounds: 3 there, 4 here\); give another --out"
    ):
        frontier("2", seeds=1, overrides=("federation.rounds=4",))
    toml = Path("out/frontier.toml")
    toml.write_text(toml.read_text().replace('data = "', 'data = "x'))
    with pytest.raises(InputError, match="the data changed since this frontier was begun"):
        frontier("2", seeds=1)
    assert results() == before
    assert written() == at


def test_another_budget_or_runtime_in_the_file_is_the_same_experiment(frontier):
    """A cell sets its own budget, and where clients run never changes a result."""
    frontier("2", seeds=1)
    frontier("2", seeds=1, overrides=("privacy.epsilon=3", "runtime.clients=unfolded"))


def test_a_cell_s_directory_with_another_run_is_left_alone(frontier):
    frontier("none", seeds=1)
    run = Path("out/cells/no-privacy-seed-5/experiment.toml")
    run.write_text(run.read_text().replace("seed = 5", "seed = 7"))
    with pytest.raises(
        InputError, match=r"no-privacy-seed-5: is the run of another experiment \(seed: 7 there, 5 here\); remove it"
    ):
        frontier("none", seeds=1)


def test_a_point_that_is_unsound_is_refused_and_the_others_run(frontier, monkeypatch):
    opened = course.study_with_progress

    def refusing(experiment, console):
        if experiment.privacy.epsilon == 2:
            raise PrivacyError("privacy.epsilon: too little")
        return opened(experiment, console)

    monkeypatch.setattr(course, "study_with_progress", refusing)
    found, told = frontier(seeds=1)
    assert [row["status"] for row in found.rows] == ["refused", "done", "done"]
    assert found.rows[0]["reason"] == "privacy.epsilon: too little"
    assert "epsilon 2: privacy.epsilon: too little" in told
    assert len(list(Path("out/cells").iterdir())) == 2


def test_mechanisms_side_by_side(frontier):
    """One experiment cannot suit all of them: amplification by sampling needs cohorts of random size, and the reason is told."""
    found, told = frontier("8", seeds=1, mechanisms=("dp-sgd,central", "matrix-factorisation"))
    assert [(row["unit"], row["mechanism"], row["status"]) for row in found.rows] == [
        ("example", "dp-sgd", "done"), ("user", "central", "refused"), ("user", "matrix-factorisation", "done"),
    ]  # fmt: skip
    assert "refused: user, central, epsilon 8: federation.sampler" in told
    assert [result.point.line for result in found.points] == ["example, dp-sgd", "user, matrix-factorisation"]
    assert all("differentially private" in result.statement for result in found.points)


def test_a_cell_that_fails_is_told_and_tried_again(frontier, monkeypatch):
    run = running.run_in_process

    def failing(study, directory, observer, resume):
        if study.experiment.privacy.epsilon == 2:
            raise InputError("round 1: all 5 clients failed")
        return run(study, directory, observer, resume)

    monkeypatch.setattr(running, "run_in_process", failing)
    found, told = frontier(seeds=1)
    assert [row["status"] for row in found.rows] == ["failed", "done", "done"]
    assert "failed: round 1: all 5 clients failed" in told
    monkeypatch.setattr(running, "run_in_process", run)
    found, told = frontier(seeds=1)
    assert [row["status"] for row in found.rows] == ["done", "done", "done"]
    assert "1/1" in told


def test_a_damaged_checkpoint_says_what_to_remove(frontier):
    with interrupted(3):
        frontier("none", seeds=1)
    Path("out/cells/no-privacy-seed-5/checkpoint/state.json").write_text("{")
    with pytest.raises(
        InputError, match=r"damaged checkpoint.*; to run this cell anew, remove out/cells/no-privacy-seed-5"
    ):
        frontier("none", seeds=1)


@pytest.mark.usefixtures("drawing")
def test_without_matplotlib_there_is_all_but_the_picture(frontier, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _, told = frontier("none", seeds=1, out=None)
    assert "note: a picture needs matplotlib" in told
    assert told.endswith("frontier.csv, frontier.json: runs/tiny-frontier\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epsilon", "1,two"], "--epsilon two: expected positive numbers or none, for example 1,2,4,8,none"),
        (["--epsilon", "-1"], "--epsilon -1: expected positive numbers"),
        (["--epsilon", "inf"], "--epsilon inf: expected positive numbers"),
        (["--epsilon", "1,,2"], "--epsilon: an empty word; expected words separated by commas"),
        (["--seeds", "0"], "--seeds 0: expected 1 or more"),
        (["--unit", "household"], "privacy.unit: Input should be"),
        (["--mechanism", "magic"], "--mechanism magic: unknown; expected one of: dp-sgd"),
        (["-s", "privacy={unit = 'none'}"], "privacy.unit: the experiment is not private, so an epsilon alone means nothing; give --unit"),
        (["-s", "privacy={unit = 'none'}", "--unit", "example"], "privacy: delta is missing"),
        (["-s", "federation.cohrot=3"], "tiny.toml: federation.cohrot: unknown key; did you mean 'cohort'?"),
        (["-s", "evaluation.k=[5]", "-s", "evaluation.select=ndcg@5"], "evaluation.k: a frontier shows NDCG@10 and HR@10; include 10"),
        (["-s", "learning.max_examples=3"], "nothing private can be run; example"),
        (["--out", "tiny.toml"], "tiny.toml: exists and holds no frontier (frontier.toml is missing); give another --out"),
        (["--out", "."], "exists and holds no frontier"),
    ],
)  # fmt: skip
def test_mistakes(mistaken, arguments, told):
    assert told in mistaken(*arguments)
    assert [path.name for path in Path().iterdir()] == ["tiny.toml"]  # nothing is written


def test_a_damaged_record(frontier, mistaken):
    frontier("none", seeds=1)
    Path("out/frontier.toml").write_text("seeds = [")
    assert "out/frontier.toml: damaged" in mistaken("--out", "out")
