"""Whoever trains a federation's clients, its course is the same."""

import json

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from everbloom.errors import InputError
from everbloom.methods import SERVER_OPTIMIZERS
from everbloom.wire import TRAIN
from server.federation import Federation, initial_state
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.grid import InProcessGrid, node_of
from simulation.memory import PeakMemory
from simulation.workers import dealt, make_worker, open_ledger, parallel_answers, serial_answers

PRIVACY = {"unit": "example", "epsilon": 50.0, "delta": 1e-3, "denominator": 20, "max_participations": 5}
OPTIONS = {
    "fedavg": {"learning_rate": 1.0},
    "fedavgm": {"learning_rate": 0.5},
    "fedadam": {"learning_rate": 0.01, "tau": 1e-3},
    "fedyogi": {"learning_rate": 0.01, "tau": 1e-3},
}
"""With next to no tau, parameters whose gradient is nothing (a bias that softmax cancels) would walk at full speed along what is rounding."""


@pytest.fixture
def experiment(tiny):
    """(optimizer, privacy?, **runtime) -> 14 users in cohorts of 10, some of whom run out of budget."""

    def build(optimizer="fedavg", private=True, **runtime):
        federation = {"rounds": 3, "cohort": 10, "optimizer": {"name": optimizer, **OPTIONS[optimizer]}}
        privacy = {"privacy": PRIVACY} if private else {"learning": {"examples": "next-item", "local_steps": 2}}
        return tiny(users=14, **privacy, federation=federation, runtime=runtime)

    return build


def course(study, answer, folder):
    """(metrics, rounds without their clock, final parameters) of a run."""
    run = RunDirectory.create(folder, study.experiment)
    grid = InProcessGrid(study.clients, answer)
    state = Federation(study, run, grid, grid.client_nodes(), Silent(), initial_state(study)).run()
    metrics, rounds = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("metrics", "rounds")
    )
    for record in rounds:
        del record["seconds"], record["bytes_up"]
    return metrics, rounds, state.parameters


def same(found, expected, tolerance=1e-4):
    assert np.linalg.norm(found[2] - expected[2]) <= tolerance * np.linalg.norm(expected[2])
    assert found[1] == expected[1]
    assert len(found[0]) == len(expected[0]) > 0
    for one, other in zip(found[0], expected[0], strict=True):
        assert one == pytest.approx(other, abs=tolerance)


def serial(study, folder):
    folder.mkdir()
    ledger = open_ledger(folder / "devices" / "ledger.npy", np.zeros(study.clients, dtype=np.int32))
    with serial_answers(study, ledger, PeakMemory()) as answer:
        return course(study, answer, folder / "run")


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("optimizer", SERVER_OPTIMIZERS.names())
def test_together_unfolded_and_one_by_one(experiment, opened, tmp_path, optimizer, private):
    kinds = ("one-by-one", "unfolded", "together")
    runs = [serial(opened(experiment(optimizer, private, clients=kind)), tmp_path / kind) for kind in kinds]
    moved = runs[0][2] - initial_state(opened(experiment(optimizer, private))).parameters
    assert np.linalg.norm(moved) > 0.01
    for run in runs[1:]:
        same(run, runs[0])


def test_two_processes_give_the_bytes_of_one(experiment, opened, tmp_path):
    """One pool for runs of every server optimizer: the ledgers lie in a file that all processes see."""
    study = opened(experiment(workers=2))
    folder = tmp_path / "pool"
    folder.mkdir()
    run = RunDirectory.create(folder / "resolved", study.experiment)
    ledger = open_ledger(folder / "devices" / "ledger.npy", np.zeros(study.clients, dtype=np.int32))
    with parallel_answers(study, run.path / "experiment.toml", ledger, 2, PeakMemory()) as answer:
        for optimizer in SERVER_OPTIMIZERS.names():
            np.load(ledger, mmap_mode="r+")[:] = 0
            found = course(opened(experiment(optimizer)), answer, folder / optimizer)
            spent = np.load(ledger)
            expected = serial(opened(experiment(optimizer)), tmp_path / optimizer)
            assert found[2].tobytes() == expected[2].tobytes()
            same(found, expected, tolerance=0.0)
            assert np.array_equal(spent, np.load(tmp_path / optimizer / "devices" / "ledger.npy"))
            assert spent.sum() == 30


def test_who_does_jobs(experiment, opened):
    names = {"together": "CohortWorker", "unfolded": "CohortWorker", "one-by-one": "DeviceWorker"}
    for clients, name in names.items():
        study = opened(experiment(clients=clients))
        worker = make_worker(study, np.zeros(study.clients, dtype=np.int32), None)
        assert type(worker).__name__ == name
        assert getattr(worker, "folded", False) == (clients == "together")


def test_a_worker_that_dies_is_one_line(experiment, opened, tmp_path):
    """Here: because the file of its experiment is not there."""
    study = opened(experiment(workers=2))
    ledger = open_ledger(tmp_path / "devices" / "ledger.npy", np.zeros(study.clients, dtype=np.int32))
    with (
        parallel_answers(study, tmp_path / "nothing.toml", ledger, 1, PeakMemory()) as answer,
        pytest.raises(InputError, match="worker process died"),
    ):
        course(study, answer, tmp_path / "run")


def test_jobs_name_clients_and_messages(experiment, opened):
    study = opened(experiment())
    wanted = [9, 3, 13, 0, 7, 1, 2, 4, 5, 6, 8]
    messages = [Message(RecordDict(), dst_node_id=node_of(client), message_type=TRAIN) for client in wanted]
    jobs = dealt(study, messages)
    assert len(jobs) == 4
    assert [wanted[place] for job, _ in jobs for place in job] == [client for _, own in jobs for client in own]
    assert sorted(client for _, own in jobs for client in own) == sorted(wanted)
