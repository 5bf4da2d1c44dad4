"""Runs under the unit of a user: the same on every path through a simulation, resumed or not, and honest in their records."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from everbloom.experiment import Experiment
from everbloom.privacy.noise import SeededNoise
from server.observer import Observer
from server.run_directory import RunDirectory
from simulation.run import run_in_process

MECHANISMS: dict[str, dict[str, Any]] = {
    "central": {"sampler": "poisson", "mechanism": {"name": "central"}},
    "adaptive": {"sampler": "poisson", "mechanism": {"name": "central", "adaptive_clip": {"noise": 0.5}}},
    "matrix-factorisation": {"sampler": "uniform", "mechanism": {"name": "matrix-factorisation"}},
    "distributed": {"sampler": "uniform", "mechanism": {"name": "distributed", "min_cohort": 4}},
    "local": {"sampler": "uniform", "mechanism": {"name": "local"}},
}


class Quiet(Observer):
    def round_done(self, record: Any, reasons: Any) -> None:
        assert not reasons, reasons

    def measured(self, records: Any) -> None:
        return


def experiment_of(small: Any, name: str, clients: str = "together", rounds: int = 3, **tables: Any) -> Experiment:
    how = MECHANISMS[name]
    return small(
        privacy={
            "unit": "user", "epsilon": 8.0, "delta": 1e-3, "clip_norm": 0.3, "mechanism": how["mechanism"],
            **tables.pop("privacy", {}),
        },
        federation={"rounds": rounds, "cohort": 6, "sampler": how["sampler"], "checkpoint_every": 1},
        learning={"local_steps": 1, "learning_rate": 0.5},
        runtime={"clients": clients},
        **tables,
    )  # fmt: skip


def run_of(study_of: Any, experiment: Experiment, path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """(final parameters, summary)."""
    summary = run_in_process(study_of(experiment), RunDirectory.create(path, experiment), Quiet(), resume=False)
    return parameters_of(path), summary


def parameters_of(path: Path) -> np.ndarray:
    return load_file(next((path / "checkpoint").glob("*.safetensors")))["parameters"]


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_same_on_every_path_through_a_simulation(small, study_of, tmp_path, name):
    """Summed, client by client, and device by device through the ClientApp: up to rounding; integers up to how a rounding falls."""
    found = {
        clients: run_of(study_of, experiment_of(small, name, clients), tmp_path / clients)[0]
        for clients in ("together", "unfolded", "one-by-one")
    }
    start = study_of(experiment_of(small, name)).layout.flat(study_of(experiment_of(small, name)).new_model())
    assert np.abs(found["together"] - start).max() > 1e-4
    tolerance = 2e-3 if name == "distributed" else 1e-5
    np.testing.assert_allclose(found["unfolded"], found["together"], atol=tolerance)
    np.testing.assert_allclose(found["one-by-one"], found["together"], atol=tolerance)


@pytest.mark.parametrize("name", ["adaptive", "matrix-factorisation", "distributed"])
def test_resumed_equals_uninterrupted(small, study_of, tmp_path, name):
    """What a mechanism knows from round to round (a clip norm, past noise) is in the checkpoint."""
    experiment = experiment_of(small, name)
    whole, summary = run_of(study_of, experiment, tmp_path / "whole")

    class Stops(Quiet):
        def round_done(self, record: Any, reasons: Any) -> None:
            if (record["period"], record["round"]) == (0, 3):
                raise KeyboardInterrupt

    run = RunDirectory.create(tmp_path / "broken", experiment)
    with pytest.raises(KeyboardInterrupt):
        run_in_process(study_of(experiment), run, Stops(), resume=False)
    resumed = run_in_process(study_of(experiment), RunDirectory.open(run.path), Quiet(), resume=True)
    assert np.array_equal(parameters_of(run.path), whole)
    assert resumed["privacy"] == summary["privacy"]
    untimed = [
        [{**row, "seconds": 0} for row in RunDirectory.open(path).records("rounds")]
        for path in (tmp_path / "whole", run.path)
    ]
    assert untimed[0] == untimed[1]


def test_records_say_what_was_spent_by_whom(small, study_of, tmp_path):
    experiment = experiment_of(small, "adaptive")
    _, summary = run_of(study_of, experiment, tmp_path / "run")
    plan = study_of(experiment).plan
    rows = RunDirectory.open(tmp_path / "run").records("rounds")
    assert [row["epsilon"] for row in rows] == [round(plan.spent(n + 1), 6) for n in range(6)], (
        "every round, drawn or not"
    )
    assert rows[0]["clip_norm"] == pytest.approx(0.3)
    assert len({row["clip_norm"] for row in rows}) > 1
    assert [row["devices_left"] for row in rows] == [20] * 5 + [0]
    privacy = summary["privacy"]
    assert privacy["unit"] == "user"
    assert privacy["generator"] == SeededNoise.kind
    assert privacy["relation"] == plan.relation
    assert privacy["epsilon"] == pytest.approx(plan.epsilon, abs=1e-5)


def test_simulated_noise_is_labelled_in_every_record(small, study_of, tmp_path):
    mechanism = {"name": "central", "noise_cohort": 600, "noise_population": 2000}
    experiment = experiment_of(small, "central", privacy={"mechanism": mechanism})
    _, summary = run_of(study_of, experiment, tmp_path / "run")
    rows = RunDirectory.open(tmp_path / "run").records("rounds")
    assert {row["noise_cohort"] for row in rows} == {600}
    assert summary["privacy"]["valid_only_at_cohort"] == 600
    assert summary["privacy"]["statement"].startswith("SIMULATED NOISE, valid only at cohort = 600")


def test_devices_stay_apart_and_within_their_participations(small, study_of, tmp_path):
    """20 users in cohorts of 6: three rounds apart."""
    experiment = experiment_of(small, "matrix-factorisation", rounds=5)
    run_of(study_of, experiment, tmp_path / "run")
    plan = study_of(experiment).plan
    assert plan.separation == 3
    arrays = load_file(next((tmp_path / "run" / "checkpoint").glob("*.safetensors")))
    assert arrays["participations"].max() <= plan.max_participations == 4
    assert arrays["participations"].sum() == 60, "every round finds a whole cohort"
    counted = np.bincount(arrays["last_asked"], minlength=11)
    assert (counted[8:] == 6).all(), "nobody of the last three rounds was asked twice in them"


def test_what_one_period_may_spend(small, study_of, tmp_path):
    experiment = experiment_of(small, "local", rounds=4, privacy={"max_participations_per_period": 1})
    run_of(study_of, experiment, tmp_path / "run")
    rows = RunDirectory.open(tmp_path / "run").records("rounds")
    assert [row["clients"] for row in rows] == [6, 6, 6, 2] * 2, "everybody once in each of two periods"
    assert study_of(experiment).plan.max_participations == 2
    assert rows[3]["devices_left"] == 20
    assert rows[-1]["devices_left"] == 0
