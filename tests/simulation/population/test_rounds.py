"""What comes of a round: who is late, who drops out, who leaves, who is not needed."""

import math

import numpy as np
import pytest

from everbloom.config import PopulationConfig
from everbloom.errors import ConfigError, DataError
from everbloom.methods import AVAILABILITIES
from simulation.population.population import Population, open_population

MANY = np.arange(50_000)


def population(
    wanted: int = 10**9, deadline: float = 60.0, work: object = None, trace: str = "", **tables: object
) -> Population:
    config = PopulationConfig.model_validate(tables)
    return Population(config, config.availability.open(10**6, 1), 1, work or (lambda clients: clients * 1.0), 1000, wanted, deadline)  # fmt: skip


def test_time_is_overhead_and_transfer_and_work():
    found = population(
        overhead_seconds=3, speed={"seconds_per_example": 0.5}, bandwidth={"download": 1000, "upload": 100}
    )
    assert found.takes(np.array([0, 4, 10])).tolist() == [14.0, 16.0, 19.0]


def test_late_by_hand():
    """Two seconds an example, client c has c: at a deadline of 7 clients 1 to 3 are in time."""
    times = population(deadline=7, speed={"seconds_per_example": 2}).round(np.array([1, 2, 3, 4]), 0.0, 0, 1)
    assert times.closing.in_time.tolist() == [True, True, True, False]
    assert times.failed.tolist() == [False, False, False, True]
    assert times.closing.seconds == 7
    assert times.reason(3) == "the device needed 8.0 s, federation.reply_timeout is 7 s"


def test_over_selection_by_hand():
    """The second answer comes after 4 seconds; the others are not needed and have not failed."""
    times = population(wanted=2, deadline=7, speed={"seconds_per_example": 2}).round(np.array([4, 1, 3, 2]), 0.0, 0, 1)
    assert times.closing.in_time.tolist() == [False, True, False, True]
    assert not times.failed.any()
    assert times.closing.seconds == 4


def test_who_drops_out_in_a_round_that_fills_has_failed_nevertheless():
    found = population(wanted=25_000, dropout=0.25, overhead_seconds=1)
    times = found.round(MANY, 0.0, 0, 1)
    assert times.closing.full
    assert times.closing.in_time.sum() == 25_000
    assert np.array_equal(times.failed, times.dropped)
    assert times.closing.seconds == 1
    assert times.reason(int(np.flatnonzero(times.failed)[0])) == "the device dropped out"


@pytest.mark.parametrize("dropout", [0.05, 0.4])
def test_dropout_has_its_probability_and_is_drawn_anew_each_round(dropout):
    found = population(dropout=dropout)
    first, second = found.round(MANY, 0.0, 0, 1).dropped, found.round(MANY, 0.0, 0, 2).dropped
    other_period = found.round(MANY, 0.0, 1, 1).dropped
    for share, expected in ((first.mean(), dropout), (second.mean(), dropout), ((first & second).mean(), dropout**2)):
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / len(MANY))
    for wrong in (dropout * 2 / 3, dropout * 3 / 2):
        assert abs(first.mean() - wrong) > 5 * math.sqrt(wrong * (1 - wrong) / len(MANY))
    assert not np.array_equal(first, other_period)
    assert np.array_equal(first, found.round(MANY, 9.0, 0, 1).dropped)


def test_waiting_for_one_who_dropped_out_lasts_until_the_deadline():
    times = population(dropout=0.5, overhead_seconds=1).round(np.arange(20), 0.0, 0, 1)
    assert 0 < times.dropped.sum() < 20
    assert times.closing.seconds == 60


def test_first_come_first_served_among_equals_favours_nobody():
    found = population(wanted=10)
    counts = sum(found.round(np.arange(40), 0.0, 0, round).closing.in_time.astype(int) for round in range(2000))
    assert counts.sum() == 20_000
    assert np.abs(counts - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_who_leaves_before_it_is_done_has_failed(tmp_path):
    (tmp_path / "t.csv").write_text("client,start,end,seconds_per_example\n0,0,100,2\n1,0,13,2\n2,0,11,2\n")
    table = {"name": "trace", "path": str(tmp_path / "t.csv")}
    config = PopulationConfig(availability=AVAILABILITIES.parse(table), start_seconds=5)
    found = Population(
        config, config.availability.open(3, 1), 1, lambda clients: np.full(len(clients), 4.0), 0, 9, 60.0
    )
    times = found.round(np.arange(3), 0.0, 0, 1)
    assert times.closing.in_time.tolist() == [True, True, False], "8 seconds from second 5"
    assert times.reason(2) == "the device left after 6.0 of the 8.0 s that it needed"
    assert found.there(np.arange(3), 7.0).tolist() == [True, True, False]
    assert found.next_time(np.array([2]), 7.0) == 86400 - 5


def test_the_work_is_what_a_device_holds_and_may_train_on(study_of, populated):
    speed = {"speed": {"seconds_per_example": 1.0}}
    study = study_of(populated(speed, learning={"local_steps": 3}))
    events = np.diff(study.dataset.events.offsets)
    everybody = np.arange(study.clients)
    assert open_population(study).takes(everybody).tolist() == (3.0 * events).tolist()
    few = study_of(populated(speed, learning={"max_examples": 2}))
    assert open_population(few).takes(everybody).tolist() == np.minimum(events, 2.0).tolist()
    windows = study_of(populated(speed, learning={"max_examples": 2, "examples": "windows"}))
    assert open_population(windows).takes(everybody).tolist() == np.minimum(events, 10.0).tolist()
    sampled = {"sampling": "poisson", "sample_rate": 0.5, "unit": "example", "noise_multiplier": 1.0, "delta": 1e-4}
    private = study_of(populated(speed, privacy=sampled))
    assert open_population(private).takes(everybody).tolist() == (0.5 * events).tolist()


def test_a_population_that_does_not_fit_is_refused(study_of, small, populated, tmp_path):
    assert open_population(study_of(small())) is None
    with pytest.raises(ConfigError, match=r"federation\.over_selection: without a \[population\] every device answers"):
        open_population(study_of(small(federation={"over_selection": 0.1})))
    (tmp_path / "t.csv").write_text("client,start,end\n0,0,9\n")
    table = {"name": "trace", "path": str(tmp_path / "t.csv")}
    with pytest.raises(
        DataError, match=r"t\.csv: line 2: the trace ends with client 0, the experiment has clients 0 to 19"
    ):
        open_population(study_of(populated({"availability": table})))


def test_a_round_costs_what_its_cohort_costs():
    """Of a million clients only those who are asked are looked at."""
    asked: list[int] = []

    def work(clients: np.ndarray) -> np.ndarray:
        asked.append(len(clients))
        return np.ones(len(clients))

    found = population(work=work, speed={"seconds_per_example": 1, "sigma": 1})
    found.round(np.array([5, 999_999]), 0.0, 0, 1)
    assert asked == [2]
