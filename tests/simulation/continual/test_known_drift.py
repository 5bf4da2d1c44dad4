"""A synthetic log whose drift is known: the measures must find it, and must not find one that is not there."""

import numpy as np
import pytest

from everbloom.continual.measures import average_forgetting, backward_transfer, forward_transfer, plasticity
from everbloom.experiment import parse_experiment
from everbloom.study import open_study
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.continual.reading import read_run
from simulation.run import run_in_process

PERIODS, SHIFT = 5, 3
MEASURE = "ndcg@10"


def experiment(method, shifted):
    source = {
        "name": "synthetic",
        "users": 400,
        "items": 300,
        "events_per_user": 20,
        "periods": PERIODS,
        "drift": 0,
        "new_item_rate": 0,
        "new_user_rate": 0,
        "popularity": 1.1,
        "repeats": True,
        "seed": 4,
    }
    if shifted:
        source["shifts"] = [{"at": SHIFT, "popularity": 1.0}]
    return parse_experiment(
        {
            "name": "known-drift",
            "seed": 2,
            "data": {"source": source},
            "protocol": {"name": "timeline", "cut": "counts", "periods": PERIODS},
            "model": {"dim": 8, "user": {"layers": 0, "heads": 2, "history": 10, "dropout": 0}},
            "learning": {
                "examples": "windows",
                "negatives": 60,
                "objective": {"name": "sampled-softmax", "mask_history": True},
            },
            "federation": {"rounds": 12, "cohort": 100, "optimizer": {"name": "fedadam", "learning_rate": 0.05}},
            "continual": {"method": method, "warm_rounds": 25},
            "evaluation": {"every": 12, "slices": False},
        }
    )


@pytest.fixture
def matrix_of(tmp_path):
    def run(method, shifted):
        study = open_study(experiment(method, shifted), lambda done, total: None, lambda done, total: None)
        directory = RunDirectory.create(tmp_path / f"{method}-{shifted}", study.experiment)
        run_in_process(study, directory, Silent(), resume=False)
        return read_run(directory, PERIODS).matrix(MEASURE)

    return run


def ahead(matrix):
    """Next-period quality of periods 1, 2, ..."""
    return np.array([matrix[period - 1, period] for period in range(1, PERIODS)])


def falls(matrix):
    """How much of its next-period quality a method loses from each period to the next, as a share; below 0: it gains."""
    quality = ahead(matrix)
    return 1 - quality[1:] / quality[:-1]


def forgotten(matrix):
    """What each period but the last has lost of its best, in the end."""
    return np.array([np.nanmax(matrix[period:-1, period]) - matrix[-1, period] for period in range(1, PERIODS - 1)])


def test_the_measures_find_the_drift_where_it_is(matrix_of):
    frozen, finetune, retrain = (matrix_of(method, True) for method in ("frozen", "finetune", "retrain"))
    into = SHIFT - 2  # the place of the fall into the shifted period
    for matrix in (frozen, finetune, retrain):
        assert falls(matrix)[into] > 0.8 > 3 * max(falls(matrix)[:into])
    # A model that never learns stays down; those that learn come back, the sooner the less they learn of what is over.
    assert ahead(frozen)[-1] < 0.2 * ahead(frozen)[0]
    assert ahead(finetune)[-1] > ahead(retrain)[-1] > 5 * ahead(frozen)[-1]
    assert forward_transfer(finetune, frozen) > 0.03
    assert plasticity(finetune) > plasticity(frozen) + 0.03
    # What came before the shift is forgotten by who learns the new alone, and what came after it is not.
    assert min(forgotten(finetune)[: SHIFT - 1]) > 0.08 > 0 > forgotten(finetune)[SHIFT - 1]
    assert backward_transfer(finetune) < -0.03
    assert average_forgetting(finetune) > 2 * average_forgetting(retrain)
    assert average_forgetting(frozen) == backward_transfer(frozen) == 0


def test_the_measures_find_no_drift_where_there_is_none(matrix_of):
    for method in ("frozen", "finetune"):
        matrix = matrix_of(method, False)
        assert max(falls(matrix)) < 0.3
        assert abs(backward_transfer(matrix)) < 0.03
        assert average_forgetting(matrix) < 0.03
