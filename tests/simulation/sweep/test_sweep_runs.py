"""A sweep from end to end: what it finds, interrupted and continued, extended, with trials given up, with trials that fail."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import optuna
import pytest
from rich.console import Console

from everbloom.errors import ConfigError
from everbloom.experiment import load_experiment
from everbloom.report.records import find_runs
from server.run_directory import RunDirectory
from simulation.commands import start_run
from simulation.sweep import course, trial
from simulation.sweep.course import run_sweep


@pytest.fixture(autouse=True)
def quickly(request, monkeypatch):
    """Drawing takes longer than training here: one test does it."""
    if "drawing" not in request.fixturenames:
        monkeypatch.setattr(course, "draw_sweep", lambda results, path: path)


@pytest.fixture
def drawing():
    """For a test that wants the picture."""


def files(out="out"):
    return {name: (Path(out) / name).read_bytes() for name in ("sweep.csv", "sweep.json", "best.toml", "sweep.toml")}


@pytest.mark.usefixtures("drawing")
def test_a_sweep(sweeping):
    found, told = sweeping()
    lines = told.splitlines()
    assert lines[0].startswith("note: A search over private data costs privacy that no epsilon here covers")
    assert lines[1].startswith("trial 0 (1/5): ndcg@10 0.")
    assert lines[-1] == "the best as an experiment: everbloom run out/best.toml"
    assert {path.name for path in Path("out").iterdir()} == {
        "cells", "trials.db", "sweep.toml", "sweep.csv", "sweep.json", "best.toml", "sweep.png",
    }  # fmt: skip
    # A trial's value: the mean over seeds of the best round's validation, as the records have it.
    assert len(find_runs([Path("out")])) == 10
    for result in found.trials:
        runs = [RunDirectory(Path(f"out/cells/trial-{result.number:03}-seed-{seed}")) for seed in found.sweep.seeds]
        best = [
            max(
                row["ndcg@10"]
                for row in run.records("metrics")
                if (row["split"], row["slice"], row["model"]) == ("validation", "all", "federated")
            )
            for run in runs
        ]
        assert result.value == pytest.approx(np.mean(best))
        for run, seed in zip(runs, found.sweep.seeds, strict=True):
            assert run.experiment.seed == seed
            assert (
                run.experiment.federation.optimizer.learning_rate == result.values["federation.optimizer.learning_rate"]
            )
            assert run.experiment.model.dim == result.values["model.dim"]
    assert found.best.value == max(result.value for result in found.trials)
    assert len({result.values["federation.optimizer.learning_rate"] for result in found.trials}) == 5
    # What comes out is an experiment with the experiment's own seed, and runs.
    best = load_experiment(Path("out/best.toml"))
    assert best.seed == 5
    assert best.model.dim == found.best.values["model.dim"]
    start_run(Path("out/best.toml"), ["federation.rounds=1"], Path("run"), Console(quiet=True))
    # Optuna reads the storage by itself.
    study = optuna.load_study(study_name="tiny", storage="sqlite:///out/trials.db")
    assert [each.value for each in study.trials] == [result.value for result in found.trials]


def test_the_same_again_runs_nothing_and_more_trials_go_on(sweeping, monkeypatch):
    sweeping("whole", 5)
    sweeping(trials=2)
    sweeping(trials=5)
    assert files() == files("whole")
    monkeypatch.setattr(trial, "run_in_process", None)
    sweeping(trials=5)
    assert files() == files("whole")


@pytest.mark.parametrize("pruner", ["median", "none"])
def test_interrupted_and_continued_gives_the_same(sweeping, write_sweep, monkeypatch, pruner):
    write_sweep('name = "none"', f'name = "{pruner}"' + ("\nstartup = 1" if pruner == "median" else ""))
    sweeping("whole")
    rounds = trial.Standing.round_done
    count = 0

    def round_done(self, record, reasons):
        nonlocal count
        count += 1
        if count in (6, 13):  # in the first trial's second run; then in what comes after it
            raise KeyboardInterrupt
        rounds(self, record, reasons)

    with monkeypatch.context() as patched:
        patched.setattr(trial.Standing, "round_done", round_done)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                sweeping()
        assert len(json.loads(Path("out/sweep.json").read_text())["trials"]) >= 1
        sweeping()
    assert files() == files("whole")


def test_killed_between_two_records_of_a_batch(sweeping, write_sweep):
    """The first of two trials that ran together is in the storage, the second is not: the batch is chosen again, the same."""
    write_sweep("seeds = 2", "workers = 2")
    write_sweep("trials = 5", "trials = 2")
    sweeping("out")
    whole = files()
    with sqlite3.connect("out/trials.db") as storage:
        for table in (
            "trial_params",
            "trial_values",
            "trial_user_attributes",
            "trial_intermediate_values",
            "trial_system_attributes",
        ):
            storage.execute(f"delete from {table} where trial_id = 2")
        storage.execute("delete from trials where trial_id = 2")
    sweeping("out")
    assert files() == whole


def test_hopeless_trials_are_given_up_by_their_first_seed(sweeping, write_sweep):
    write_sweep('name = "none"', 'name = "median"\nstartup = 1')
    found, told = sweeping(trials=8)
    given_up = [result for result in found.trials if result.status == "pruned"]
    assert given_up
    for result in given_up:
        assert result.value is None
        assert (
            f"trial {result.number} ({result.number + 1}/8): given up at round {result.last_round} with ndcg@10" in told
        )
        first, second = (Path(f"out/cells/trial-{result.number:03}-seed-{seed}") for seed in found.sweep.seeds)
        assert len(RunDirectory(first).records("rounds")) == result.last_round
        assert not second.exists()
    done = [result for result in found.trials if result.status == "done"]
    assert found.best in done
    assert all(len(result.runs) == 2 for result in done)


def test_hyperband(sweeping, write_sweep):
    write_sweep('name = "none"', 'name = "hyperband"\nfactor = 2')
    found, _ = sweeping(trials=8)
    assert {result.status for result in found.trials} == {"done", "pruned"}


def test_trials_whose_values_do_not_fit_together_fail_and_the_others_go_on(sweeping, write_sweep):
    write_sweep('"learning.objective"', '"model.user.heads" = [1, 4]\n"learning.objective"')
    write_sweep("low = 4, high = 8, step = 2", "low = 4, high = 8, step = 1")
    write_sweep("seeds = 2", 'fixed = { "model.user.layers" = 1 }')
    found, told = sweeping(trials=6)
    failed = [result for result in found.trials if result.status == "failed"]
    assert failed
    assert found.best is not None
    assert all(
        f"trial {result.number} ({result.number + 1}/6): failed: the experiment: model" in told for result in failed
    )


def test_where_all_trials_fail_it_says_so(sweeping, write_sweep, monkeypatch):
    def diverges(*arguments, **options):
        raise FloatingPointError("the model\ndiverged")

    monkeypatch.setattr(trial, "run_in_process", diverges)
    with pytest.raises(ConfigError, match=r"all 2 trials failed; the first \(.*\): the model diverged"):
        sweeping(trials=2)


def test_a_private_experiment_is_told_what_its_epsilon_does_not_cover(sweeping):
    private = "privacy={unit = 'example', epsilon = 8, delta = 1e-3}"
    found, told = sweeping("out", 1, private)
    assert (
        "Each run keeps its own claim (unit example); the 1 trials together, and the choice among them, do not." in told
    )
    assert "Papernot" in Path("out/best.toml").read_text()
    assert len(found.notes) == 2


def test_a_value_of_several_periods_is_their_mean(small):
    experiment = small()
    standing = trial.Standing(experiment, "hr@10", None, lambda rounds, value: None)
    row = {"split": "validation", "model": "federated", "slice": "all", "protocol": "full"}
    judged = []
    standing.judge = lambda rounds, value: judged.append((rounds, value)) or False
    for period, round, selects, metric in [(0, 0, 0.1, 0.4), (0, 2, 0.3, 0.2), (0, 4, 0.2, 0.9), (1, 0, 0.5, 0.6)]:
        standing.measured([row | {"period": period, "round": round, "ndcg@10": selects, "hr@10": metric}])
    assert judged == [(2, 0.2), (4, 0.2)]
    assert standing.value == pytest.approx((0.2 + 0.6) / 2)


def test_a_terminal_has_a_live_table(folder):
    console = Console(force_terminal=True, width=120, record=True, file=open("screen", "w"))  # noqa: SIM115, PTH123
    run_sweep(Path("sweep.toml"), ["federation.rounds=2"], 1, Path("out"), console)
    text = console.export_text()
    console.file.close()
    assert "trial 0 (1/1): ndcg@10" in text
    assert "validation ndcg@10" in Path("screen").read_text()
