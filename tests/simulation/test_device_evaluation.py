"""Devices that measure the model themselves: the evaluator's numbers without a plan, noised and charged under one, the same on every runtime."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.device import Device
from client.randomness import SeededRandomness
from client.workbench import build_workbench
from everbloom.errors import ConfigError, PrivacyError
from everbloom.evaluation_wire import EvaluationTask
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import identity
from everbloom.privacy.secure_aggregation.record import MemoryRecord
from everbloom.privacy.secure_aggregation.server import SecureServer
from everbloom.privacy.secure_aggregation.simulation import simulated_secrets
from everbloom.privacy.secure_aggregation.terms import Policy
from everbloom.wire import Task
from server.checkpoint import read_checkpoint
from server.measuring import check_measurements
from server.observer import Silent
from server.run_directory import RunDirectory
from server.secure_round import secure_terms
from simulation.run import run_in_process

DEVICES = {"every": 1, "measures": ["hr@10", "ndcg@10", "hr@5"]}
USER = {"unit": "user", "delta": 1e-3, "clip_norm": 0.3, "noise_multiplier": 1.5}
PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "local": ({**USER, "mechanism": {"name": "local"}}, "uniform"),
    "central": ({**USER, "mechanism": {"name": "central"}}, "poisson"),
    "adaptive": ({**USER, "mechanism": {"name": "central", "adaptive_clip": {"noise": 0.5}}}, "poisson"),
    "distributed": ({**USER, "mechanism": {"name": "distributed", "min_cohort": 4}}, "uniform"),
    "example": ({"unit": "example", "noise_multiplier": 1.0, "delta": 1e-4, "denominator": 10}, "uniform"),
}


def run_of(study_of: Any, experiment: Any, path: Any, resume: bool = False) -> dict[str, Any]:
    run = RunDirectory.open(path) if resume else RunDirectory.create(path, experiment)
    return run_in_process(study_of(experiment), run, Silent(), resume=resume)


def measured(path: Any) -> list[dict[str, Any]]:
    return [row for row in RunDirectory.open(path).records("metrics") if row["protocol"] == "on-devices"]


@pytest.mark.parametrize("algorithm", [None, "ditto", "ifca"])
@pytest.mark.parametrize("protocol", ["timeline", "leave-one-out"])
def test_without_a_plan_everybody_s_sums_are_the_evaluator_s_means(small, study_of, tmp_path, protocol, algorithm):
    """By devices' own models, or those that they chose, where they have such."""
    tables: dict[str, Any] = {"protocol": {"name": "leave-one-out"}} if protocol == "leave-one-out" else {}
    tables["learning"] = {"algorithm": algorithm}
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


def test_devices_measure_the_average_that_is_served(small, study_of, tmp_path):
    """What they are sent is what is measured centrally and served, and not the round's own model."""
    tables: dict[str, Any] = {"protocol": {"name": "leave-one-out"}, "evaluation": {"every": 1, "devices": DEVICES}}
    experiment = small(federation={"cohort": 1.0, "rounds": 4, "average": 0.9}, **tables)
    run_of(study_of, experiment, tmp_path / "run")
    rows = RunDirectory.open(tmp_path / "run").records("metrics")
    central = [
        row for row in rows if (row["split"], row["protocol"], row["model"]) == ("validation", "full", "federated")
    ]
    central = [row for row in central if row["round"] > 0]
    found = measured(tmp_path / "run")
    assert len(found) == len(central) == 4
    for row, same in zip(found, central, strict=True):
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


def test_behind_masks_the_same(small, study_of, tmp_path):
    """Every summand is masked, also a measurement's; the sums are those of devices that answer in clear."""
    found = []
    for masks in (True, False):
        experiment = small(
            privacy=PLANS["distributed"][0],
            evaluation={"devices": {**DEVICES, "every": 2}},
            runtime={"masks": masks, "clients": "one-by-one"},
        )
        run_of(study_of, experiment, tmp_path / str(masks))
        found.append(measured(tmp_path / str(masks)))
    assert len(found[0]) == 2
    assert found[0] == [pytest.approx(row, abs=1e-6) for row in found[1]]
    assert all((row["answered"], row["failed"]) == (6, 0) for row in found[0])


def test_masks_or_nothing_and_those_of_a_measurement_alone(small, study_of):
    study = study_of(small(privacy=PLANS["distributed"][0]))
    task = Task(study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.window(0))
    asked = EvaluationTask(task, study.timeline.held_out(0, "validation"), ("hr@10",))
    bench = build_workbench(study.terms, study.dataset.catalog.first_seen, study.features)
    events, noise = study.dataset.events.of(2), SeededRandomness(3, 2)
    device = Device(2, events, Refuses(), noise, lambda terms: bench)  # type: ignore[arg-type]
    with pytest.raises(PrivacyError, match="the question came without it"):
        device.evaluate(asked)
    with pytest.raises(PrivacyError, match="no identity"):
        device.evaluate_masked(asked, b"")
    secret = simulated_secrets(3, [2])[2]
    secure = SecureDevice(2, secret, {2: identity(secret)}, MemoryRecord(), Policy(minimum=3))
    device = replace(device, secure=secure)
    assert isinstance(study.plan, DistributedPlan)
    request = SecureServer(secure_terms(study.plan, 1, 0, 1), {}).advertise_request()
    with pytest.raises(PrivacyError, match="the masks are of another round"):
        device.evaluate_masked(asked, request)


class Refuses:
    """A ledger that must not be asked."""

    def reserve(self, plan: object, period: int, round: int) -> None:
        raise AssertionError("charged")


@pytest.mark.parametrize("name", ["matrix-factorisation"])
def test_mechanisms_without_a_way_are_refused_before_any_work(small, study_of, name):
    experiment = small(privacy={**USER, "mechanism": {"name": name}}, evaluation={"devices": DEVICES})
    with pytest.raises(PrivacyError, match=r"remove \[evaluation\.devices\]"):
        check_measurements(study_of(experiment))


def test_poisson_sampled_examples_are_refused(small, study_of):
    privacy = {**PLANS["example"][0], "sampling": "poisson", "sample_rate": 0.5}
    with pytest.raises(PrivacyError, match="reads all of its data"):
        check_measurements(study_of(small(privacy=privacy, evaluation={"devices": DEVICES})))


def test_an_unknown_measure_is_one_line(small, study_of):
    with pytest.raises(ConfigError, match=r"evaluation\.devices\.measures: 'ndcg@7' is not measured"):
        check_measurements(study_of(small(evaluation={"devices": {"measures": ["ndcg@7"]}})))
