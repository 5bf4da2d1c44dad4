"""What `everbloom check` expects of a population is what its runs then show."""

import math
import time
from types import SimpleNamespace

import numpy as np
import pytest

from everbloom.config import FederationConfig, PopulationConfig
from server.sampling import wanted_answers
from simulation.population.forecast import Forecast, forecast
from simulation.population.population import Population, open_population


def expected(clients: int = 5000, federation: dict | None = None, **tables: object) -> Forecast:
    config = PopulationConfig.model_validate(tables)
    settings = FederationConfig.model_validate({"cohort": 1000, "reply_timeout": 60, **(federation or {})})
    study = SimpleNamespace(clients=clients, experiment=SimpleNamespace(seed=1, federation=settings))
    wanted = wanted_answers(settings, clients)
    found = Population(config, config.availability.open(clients, 1), 1, lambda c: np.ones(len(c)), 1000, wanted, 60.0)
    return forecast(study, found)


def test_a_day_of_devices():
    found = expected(availability={"name": "daily", "low": 0.1, "high": 0.5, "peak_hour": 2})
    assert found.mean == pytest.approx(0.3, abs=0.01)
    assert found.lowest == pytest.approx(0.1, abs=0.02)
    assert found.highest == pytest.approx(0.5, abs=0.03)
    assert abs(found.lowest_at / 3600 - 14) <= 2.5
    assert min(abs(found.highest_at / 3600 - 2), 24 - abs(found.highest_at / 3600 - 2)) <= 2.5


@pytest.mark.parametrize("dropout", [0.1, 0.3])
def test_the_failures_of_a_round(dropout):
    found = expected(dropout=dropout)
    assert found.asked == 1000
    assert abs(found.failed - 1000 * dropout) < 5 * math.sqrt(1000 * dropout * (1 - dropout) / 48)
    assert found.failed + found.answers == 1000
    assert found.seconds == 60, "somebody always drops out, and is waited for"


def test_over_selection_fills_the_round_before_its_deadline():
    found = expected(federation={"over_selection": 0.5}, dropout=0.1, overhead_seconds=7)
    assert (found.asked, found.answers, found.seconds) == (1500, 1000, 7)
    assert found.failed + found.unneeded == 500
    assert found.void == 0


def test_a_deadline_that_nobody_keeps():
    found = expected(overhead_seconds=61)
    assert (found.failing, found.void, found.answers) == (1, 1, 0)


def test_a_population_that_is_never_there():
    found = expected(availability={"name": "constant", "rate": 1e-12})
    assert (found.mean, found.asked, found.failing, found.void) == (0, 0, 0, 1)


def test_a_million_are_looked_at_in_a_sample():
    began = time.process_time()
    found = expected(clients=1_000_000, federation={"cohort": 40_000}, dropout=0.2)
    assert time.process_time() - began < 10
    assert found.asked == 40_000, "more than the sample holds"
    assert found.failing == pytest.approx(0.2, abs=0.01)


def test_it_is_what_a_run_shows(run, populated, study_of):
    """Means over 60 rounds against means over a day, to a tenth of a cohort."""
    table = {"availability": {"name": "constant", "rate": 0.6}, "dropout": 0.25, "pause_seconds": 3600.0}
    federation = {"cohort": 8, "over_selection": 0.25, "rounds": 60}
    experiment = populated(table, federation=federation, protocol={"name": "leave-one-out"}, evaluation={"every": 60})
    rows = run(experiment).records("rounds")
    study = study_of(experiment)
    found = forecast(study, open_population(study))
    for key, value in (("clients", found.answers), ("failed", found.failed), ("unneeded", found.unneeded)):
        assert np.mean([row[key] for row in rows]) == pytest.approx(value, abs=0.8), key
