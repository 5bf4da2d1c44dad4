"""Devices that measure the model themselves: the evaluator's numbers without a plan, noised and charged under one, the same on every runtime."""

from typing import Any

import numpy as np
import pytest

from everbloom.errors import ConfigError, PrivacyError
from server.checkpoint import read_checkpoint
from server.measuring import check_measurements
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.run import run_in_process

DEVICES = {"every": 1, "measures": ["hr@10", "ndcg@10", "hr@5"]}
USER = {"unit": "user", "delta": 1e-3, "clip_norm": 0.3, "noise_multiplier": 1.5}
PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "local": ({**USER, "mechanism": {"name": "local"}}, "uniform"),
    "central": ({**USER, "mechanism": {"name": "central"}}, "poisson"),
    "adaptive": ({**USER, "mechanism": {"name": "central", "adaptive_clip": {"noise": 0.5}}}, "poisson"),
    "example": ({"unit": "example", "noise_multiplier": 1.0, "delta": 1e-4, "denominator": 10}, "uniform"),
}


def run_of(study_of: Any, experiment: Any, path: Any, resume: bool = False) -> dict[str, Any]:
    run = RunDirectory.open(path) if resume else RunDirectory.create(path, experiment)
    return run_in_process(study_of(experiment), run, Silent(), resume=resume)


def measured(path: Any) -> list[dict[str, Any]]:
    return [row for row in RunDirectory.open(path).records("metrics") if row["protocol"] == "on-devices"]


@pytest.mark.parametrize("protocol", ["timeline", "leave-one-out"])
def test_without_a_plan_everybody_s_sums_are_the_evaluator_s_means(small, study_of, tmp_path, protocol):
    tables: dict[str, Any] = {"protocol": {"name": "leave-one-out"}} if protocol == "leave-one-out" else {}
    experiment = small(federation={"cohort": 1.0}, evaluation={"devices": DEVICES}, **tables)
    run_of(study_of, experiment, tmp_path / "run")
    rows = RunDirectory.open(tmp_path / "run").records("metrics")
    central = {
        (row["period"], row["round"]): row
        for row in rows
        if (row["split"], row["protocol"], row["model"]) == ("validation", "full", "federated")
    }
    found = measured(tmp_path / "run")
    assert len(found) == (4 if protocol == "timeline" else 2)
    for row in found:
        same = central[row["period"], row["round"]]
        assert row["users"] == same["users"]
        assert (row["answered"], row["failed"], row["noise"]) == (20, 0, 0)
        assert {name: row[name] for name in DEVICES["measures"]} == pytest.approx(
            {name: same[name] for name in DEVICES["measures"]}, abs=2e-6
        )


def test_nothing_of_training_changes_without_a_plan(small, study_of, tmp_path):
    plain, also = small(), small(evaluation={"devices": DEVICES})
    run_of(study_of, plain, tmp_path / "plain")
    run_of(study_of, also, tmp_path / "also")
    states = [
        read_checkpoint(RunDirectory.open(tmp_path / name), study_of(plain).layout.schema, 20)
        for name in ("plain", "also")
    ]
    assert states[0] is not None
    assert states[1] is not None
    np.testing.assert_array_equal(states[0].parameters, states[1].parameters)


@pytest.mark.parametrize("name", PLANS)
def test_the_same_numbers_on_every_runtime_at_the_price_of_a_round(small, study_of, tmp_path, name):
    privacy, sampler = PLANS[name]
    found = {}
    for clients in ("together", "one-by-one"):
        experiment = small(
            privacy=privacy,
            federation={"sampler": sampler},
            evaluation={"devices": DEVICES},
            runtime={"clients": clients},
        )
        summary = run_of(study_of, experiment, tmp_path / clients)
        found[clients] = measured(tmp_path / clients)
        assert summary["privacy"]["epsilon"] <= summary["privacy"]["budget"] * (1 + 1e-6)
    assert found["together"] == [pytest.approx(row, abs=1e-3) for row in found["one-by-one"]], (
        "one draw of noise, one cohort"
    )
    assert all(row["noise"] > 0 and row["failed"] == 0 for row in found["together"])
    study = study_of(experiment)
    assert study.course.rounds == study.rounds + 4
    state = read_checkpoint(RunDirectory.open(tmp_path / "together"), study.layout.schema, 20)
    assert state is not None
    assert state.totals.charges == 8
    if name == "central":
        rounds = RunDirectory.open(tmp_path / "together").records("rounds")
        assert [row["epsilon"] for row in rounds] == [round(study.plan.spent(charges), 6) for charges in (1, 3, 5, 7)]
        assert summary["privacy"]["epsilon"] == pytest.approx(study.plan.epsilon, abs=1e-5)


def test_the_noise_on_a_mean_is_what_the_record_says(small, study_of, tmp_path):
    """Measured over seeds, against the same experiment with next to none."""
    deviations, said = [], []
    for seed in range(12):
        values = []
        for noise in (1.5, 1e-6):
            experiment = small(
                seed=seed,
                privacy={**USER, "noise_multiplier": noise, "mechanism": {"name": "local"}, "clip_norm": 1e-6},
                learning={"learning_rate": 1e-9},
                federation={"cohort": 1.0, "rounds": 1},
                evaluation={"devices": {"measures": ["hr@10"]}},
                continual=None,
            )
            run_of(study_of, experiment, tmp_path / f"{seed}-{noise}")
            values.append(measured(tmp_path / f"{seed}-{noise}")[0])
        deviations.append(values[0]["users"] - values[1]["users"])
        said.append(values[0]["noise"] * max(1.0, values[0]["users"]))
    assert np.std(deviations) == pytest.approx(np.mean(said), rel=0.6)
    assert np.mean(said) == pytest.approx(0.75 * np.sqrt(2 * 20), rel=0.2)


def test_resumed_equals_uninterrupted(small, study_of, tmp_path):
    experiment = small(
        privacy={**USER, "mechanism": {"name": "local"}}, evaluation={"devices": DEVICES}, federation={"rounds": 3}
    )
    run_of(study_of, experiment, tmp_path / "whole")

    class Stops(Silent):
        def round_done(self, record: Any, reasons: Any) -> None:
            if (record["period"], record["round"]) == (0, 3):
                raise KeyboardInterrupt

    run = RunDirectory.create(tmp_path / "broken", experiment)
    with pytest.raises(KeyboardInterrupt):
        run_in_process(study_of(experiment), run, Stops(), resume=False)
    run_of(study_of, experiment, run.path, resume=True)
    assert measured(run.path) == measured(tmp_path / "whole")


@pytest.mark.parametrize("name", ["distributed", "matrix-factorisation"])
def test_mechanisms_without_a_way_are_refused_before_any_work(small, study_of, name):
    mechanism = {"name": name, "min_cohort": 4} if name == "distributed" else {"name": name}
    experiment = small(privacy={**USER, "mechanism": mechanism}, evaluation={"devices": DEVICES})
    with pytest.raises(PrivacyError, match=r"remove \[evaluation\.devices\]"):
        check_measurements(study_of(experiment))


def test_poisson_sampled_examples_are_refused(small, study_of):
    privacy = {**PLANS["example"][0], "sampling": "poisson", "sample_rate": 0.5}
    with pytest.raises(PrivacyError, match="reads all of its data"):
        check_measurements(study_of(small(privacy=privacy, evaluation={"devices": DEVICES})))


def test_an_unknown_measure_is_one_line(small, study_of):
    with pytest.raises(ConfigError, match=r"evaluation\.devices\.measures: 'ndcg@7' is not measured"):
        check_measurements(study_of(small(evaluation={"devices": {"measures": ["ndcg@7"]}})))
