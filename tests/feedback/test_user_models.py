"""Reactions follow the click probabilities that the papers give, and the tests would notice if they did not."""

import itertools

import numpy as np
import pytest

from everbloom.methods import USER_MODELS, UserModel
from everbloom.seeding import numpy_generator

ATTRACTION = np.array([0.5, 0.2, 0.9, 0.0, 0.4])
PEOPLE = 40_000


def made(name: str, **options: float) -> UserModel:
    return USER_MODELS.parse({"name": name, **options})


def clicks(model: UserModel, people: int = PEOPLE, attraction: np.ndarray = ATTRACTION) -> np.ndarray:
    draws = numpy_generator(1, "test-clicks").random((people, 2 * len(attraction)))
    return model.clicks(np.tile(attraction, (people, 1)), draws)


def deviation(found: np.ndarray, chances: np.ndarray) -> float:
    """The largest difference of click rates from `chances`, in standard errors."""
    error = np.sqrt(np.maximum(chances * (1 - chances), 1e-12) / len(found))
    return float(np.max(np.abs(found.mean(axis=0) - chances) / error))


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (made("position-biased"), made("position-biased", eta=0.9)),
        (made("position-biased", eta=0.5), made("position-biased", eta=0.45)),
        (made("cascade"), made("dependent-click", goes_on=0.1)),
        (made("dependent-click"), made("dependent-click", goes_on=0.7)),
        (made("rank-biased"), made("rank-biased", persistence=0.75)),
    ],
    ids=lambda model: model.name,
)
def test_click_rates_are_the_analytic_ones_and_neighbouring_settings_are_rejected(model, wrong):
    found = clicks(model)
    assert deviation(found, model.probabilities(ATTRACTION[None])[0]) < 4
    assert deviation(found, wrong.probabilities(ATTRACTION[None])[0]) > 8


def test_position_biased_is_examination_times_attraction():
    chances = made("position-biased", eta=2.0).probabilities(ATTRACTION[None])[0]
    np.testing.assert_allclose(chances, ATTRACTION / np.array([1, 4, 9, 16, 25]))


def test_cascade_is_the_formula_of_craswell():
    expected = [a * np.prod(1 - ATTRACTION[:rank]) for rank, a in enumerate(ATTRACTION)]
    np.testing.assert_allclose(made("cascade").probabilities(ATTRACTION[None])[0], expected)
    found = clicks(made("cascade"))
    assert found.sum(axis=1).max() == 1
    assert abs(found.any(axis=1).mean() - (1 - np.prod(1 - ATTRACTION))) < 4 * np.sqrt(0.25 / PEOPLE)


def test_dependent_click_is_the_sum_over_all_ways_of_reading():
    """By enumeration of what would be clicked if it were read."""
    going, attraction = 0.6, ATTRACTION[:3]
    expected = np.zeros(3)
    for pattern in itertools.product([0, 1], repeat=3):
        chance = float(np.prod([a if wanted else 1 - a for a, wanted in zip(attraction, pattern, strict=True)]))
        for rank in np.flatnonzero(pattern):
            expected[rank] += chance * going ** sum(pattern[:rank])
    found = made("dependent-click", goes_on=going).probabilities(attraction[None])[0]
    np.testing.assert_allclose(found, expected)


def test_who_stops_reading_clicks_on_nothing_below():
    """Unlike position-biased people, whose ranks are independent."""
    certain = np.ones(6)
    scanning = clicks(made("rank-biased", persistence=0.5), 2000, certain)
    assert (np.diff(scanning.astype(int), axis=1) <= 0).all()
    scattered = clicks(made("position-biased"), 2000, certain)
    assert (np.diff(scattered.astype(int), axis=1) > 0).any()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (made("dependent-click", goes_on=0.0), made("cascade")),
        (made("dependent-click", goes_on=1.0), made("position-biased", eta=0.0)),
        (made("rank-biased", persistence=1.0), made("position-biased", eta=0.0)),
    ],
    ids=lambda model: model.name,
)
def test_models_that_are_the_same_react_the_same(one, other):
    np.testing.assert_allclose(one.probabilities(ATTRACTION[None]), other.probabilities(ATTRACTION[None]))
    assert (clicks(one, 500) == clicks(other, 500)).all()
