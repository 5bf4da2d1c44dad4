"""Differences over people and seeds, on records per user that are written by hand."""

import numpy as np
import pytest

from everbloom.evaluation.user_records import UserRecords, looked_back, of_test
from server.run_directory import RunDirectory
from simulation.continual.people import RESAMPLES, Population, compared

USERS, PERIODS = 120, 3
PANEL = np.arange(USERS) < 60


def write(path, level, after=None):
    """Every user is measured in periods 1 and 2; `level` [users, periods] on the next period, `after` on those that were learnt."""
    path.mkdir()
    again = level if after is None else after
    users = np.arange(USERS, dtype=np.int32)

    def keep(name, which, values):
        UserRecords(users[which], users[which], {"ndcg@10": values[which].astype(np.float32)}).write(path, name)

    for period in range(1, PERIODS):
        keep(of_test(period, "federated"), users, level[:, period])
        keep(looked_back(period - 1, period), PANEL, level[:, period])
        for past in range(1, period + 1):
            keep(looked_back(period, past), PANEL, again[:, past])
    return RunDirectory(path)


def levels(seed, shift=0.0):
    return np.random.default_rng(seed).uniform(0.2, 0.6, (USERS, PERIODS)) + shift


def test_what_is_common_to_a_user_falls_out_of_a_difference(tmp_path):
    """A method better by the same for everybody differs for certain, however much users differ."""
    population = Population(seed=1, users=USERS)
    plain = write(tmp_path / "plain", levels(0))
    better = write(tmp_path / "better", levels(0, shift=0.05))
    ours, theirs = (population.resampled(run, PERIODS) for run in (better, plain))
    assert ours["ndcg@10"].shape == (RESAMPLES,)
    assert ours["ndcg@10"] - theirs["ndcg@10"] == pytest.approx(np.full(RESAMPLES, 0.05), abs=1e-6)
    assert theirs["ndcg@10"].std() > 0.005
    values = {"ndcg@10": {1: 0.45, 2: 0.46}}, {"ndcg@10": {1: 0.40, 2: 0.40}}
    found = compared(*values, {1: ours, 2: ours}, {1: theirs, 2: theirs})
    assert found["ndcg@10"].mean == pytest.approx(0.055)
    assert found["ndcg@10"].excludes_zero is False  # two seeds that differ by that much tell little
    assert set(found) == {"ndcg@10"}  # of the others no value is known


def test_resamples_are_of_the_measures_that_are_told(tmp_path):
    population = Population(seed=1, users=USERS)
    level = levels(0)
    run = write(tmp_path / "run", level, after=level - 0.1)
    again = population.resampled(run, PERIODS)
    assert np.mean(again["ndcg@10"]) == pytest.approx(level[:, 1:].mean(), abs=0.003)
    # On the panel period 1 was best before it was learnt: level against level - 0.1.
    assert again["forgetting"] == pytest.approx(np.full(RESAMPLES, 0.1), abs=1e-6)
    assert np.mean(again["final"]) == pytest.approx(level[PANEL, 1:].mean() - 0.1, abs=0.003)
    assert again["backward_transfer"] == pytest.approx(np.zeros(RESAMPLES), abs=1e-6)


def test_a_run_without_records_per_user_tells_nothing_of_people(tmp_path):
    (tmp_path / "old").mkdir()
    assert Population(seed=1, users=USERS).resampled(RunDirectory(tmp_path / "old"), PERIODS) is None
