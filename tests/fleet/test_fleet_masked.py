"""A fleet under secure aggregation: updates, and what the model is worth on devices, leave them behind masks alone."""

from dataclasses import replace

import numpy as np
import pytest
from real_fleet import parameters, records, running_fleet

from server.deployment.making import nginx_program
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.run import run_in_process

PEOPLE = 4
MASKED = (
    'privacy={unit="user", epsilon=200, delta=1e-4, mechanism={name="distributed", min_cohort=3}}',
    "federation.rounds=2",
    "federation.min_replies=4",
    'evaluation.devices={every=1, measures=["hr@1000", "ndcg@1000"]}',
)


def test_devices_train_and_measure_as_their_masked_simulation_does(tmp_path):
    if nginx_program() is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    folder = tmp_path / "fleet"
    folder.mkdir()
    with running_fleet(folder, MASKED, PEOPLE) as fleet:
        out = fleet.run("masked")
        assert [(record["clients"], record["failed"]) for record in records(out, "rounds")] == [(PEOPLE, 0)] * 2
        assert [fleet.spent(number) for number in range(PEOPLE)] == [4] * PEOPLE, "two rounds, two measurements"
        study = fleet.study
        masks = study.experiment.model_copy(
            update={"runtime": study.experiment.runtime.model_copy(update={"masks": True})}
        )
        simulated = RunDirectory.create(tmp_path / "simulated", masks)
        run_in_process(replace(study, experiment=masks), simulated, Silent(), resume=False)
        np.testing.assert_allclose(parameters(out), parameters(simulated.path), rtol=0, atol=1e-5)
        assert np.abs(parameters(out) - study.initial_parameters()).max() > 1e-3
        found, expected = (
            [row for row in records(run, "metrics") if row["protocol"] == "on-devices"] for run in (out, simulated.path)
        )
        assert [(row["answered"], row["failed"]) for row in found] == [(PEOPLE, 0)] * 2
        assert found == [pytest.approx(row, abs=1e-4) for row in expected]
