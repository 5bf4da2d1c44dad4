"""Lists hold different items that may be shown, and are drawn with the probabilities that are logged."""

import itertools

import numpy as np
import pytest

from everbloom.data.events import NO_ITEM
from everbloom.feedback.lists import NOT_SHOWN
from everbloom.methods import EXPLORATIONS, Exploration
from everbloom.seeding import PublicDraws

SCORES = np.array([0.3, 2.0, NOT_SHOWN, 1.0, -0.5], dtype=np.float32)
COUNTS = np.array([1, 50, 10, 3, 0])
USERS = 60_000


def made(name: str, **options: float) -> Exploration:
    return EXPLORATIONS.parse({"name": name, **options})


def draws(users: int, seed: int = 1) -> PublicDraws:
    return PublicDraws(seed, np.arange(users), period=1, round=0)


def rates(exploration: Exploration, n: int) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], float]]:
    """list -> how often it was drawn, and list -> the product of its logged propensities."""
    found = exploration.lists(np.tile(SCORES, (USERS, 1)), n, COUNTS, draws(USERS))
    unique, first, times = np.unique(found.items, axis=0, return_index=True, return_counts=True)
    keys = [tuple(row) for row in unique.tolist()]
    products = found.propensity[first].prod(axis=1)
    return dict(zip(keys, (times / USERS).tolist(), strict=True)), dict(zip(keys, products.tolist(), strict=True))


def plackett_luce(order: tuple[int, ...], temperature: float) -> float:
    """The probability of a list, straight from its definition."""
    known = SCORES[SCORES > NOT_SHOWN].astype(np.float64)
    weight = np.exp((SCORES.astype(np.float64) - known.mean()) / known.std() / temperature)
    chance, rest = 1.0, weight.sum()
    for item in order:
        chance, rest = chance * weight[item] / rest, rest - weight[item]
    return float(chance)


@pytest.mark.parametrize(
    "exploration",
    [
        made("random"),
        made("epsilon-greedy", epsilon=0.4),
        made("epsilon-greedy", epsilon=1.0),
        made("softmax", temperature=2.0),
    ],
    ids=lambda each: each.name,
)
@pytest.mark.parametrize("n", [2, 3])
def test_lists_come_as_often_as_their_propensities_say(exploration, n):
    found, logged = rates(exploration, n)
    assert len(found) == len(list(itertools.permutations(range(4), n)))  # every list that there can be
    assert abs(sum(logged.values()) - 1) < 1e-9
    for key, rate in found.items():
        assert abs(rate - logged[key]) < 5 * np.sqrt(logged[key] / USERS) + 1e-12


def test_the_rates_would_tell_another_epsilon():
    found, _ = rates(made("epsilon-greedy", epsilon=0.4), 2)
    _, others = rates(made("epsilon-greedy", epsilon=0.36), 2)
    assert any(abs(rate - others[key]) > 8 * np.sqrt(others[key] / USERS) for key, rate in found.items())


def test_softmax_is_plackett_luce_on_standardised_scores():
    _, logged = rates(made("softmax", temperature=0.7), 2)
    assert logged == pytest.approx({key: plackett_luce(key, 0.7) for key in logged})


def test_without_exploration_the_best_come_first_and_equal_ones_by_index():
    scores = np.array([[1, 3, 3, NOT_SHOWN, 2], [0, 0, 0, 0, 0]], dtype=np.float32)
    for exploration in (
        made("greedy"),
        made("epsilon-greedy", epsilon=0.0),
        made("popularity-penalised", weight=0.0),
        made("softmax", temperature=1e-6),
    ):
        found = exploration.lists(scores, 3, COUNTS, draws(2))
        assert found.items[0].tolist()[2] == 4
        assert set(found.items[0].tolist()) == {1, 2, 4}
    assert made("greedy").lists(scores, 3, COUNTS, draws(2)).items.tolist() == [[1, 2, 4], [0, 1, 2]]


@pytest.mark.parametrize("name", EXPLORATIONS.names())
def test_short_lists_end_in_no_item(name):
    scores = np.full((50, 5), NOT_SHOWN, dtype=np.float32)
    scores[:, 1], scores[:, 3] = 1, 2
    scores[0] = NOT_SHOWN
    found = made(name).lists(scores, 4, COUNTS, draws(50))
    assert (found.items[0] == NO_ITEM).all()
    assert {tuple(sorted(row)) for row in found.items[1:].tolist()} == {(NO_ITEM, NO_ITEM, 1, 3)}
    assert (found.items[1:, 2:] == NO_ITEM).all()
    assert ((found.propensity > 0) == (found.items != NO_ITEM)).all()


def test_more_places_than_items_leave_the_rest_empty():
    found = made("greedy").lists(np.zeros((1, 2), dtype=np.float32), 4, np.zeros(2, dtype=np.int64), draws(1))
    assert found.items.tolist() == [[0, 1, NO_ITEM, NO_ITEM]]


def test_the_penalty_moves_the_popular_down():
    scores = np.array([[1.0, 1.2, 0.9, 1.1, 1.0]], dtype=np.float32)
    counts = np.array([0, 1000, 0, 10, 0])
    ranks = [
        made("popularity-penalised", weight=weight).lists(scores, 5, counts, draws(1)).items[0].tolist().index(1)
        for weight in (0.0, 0.5, 2.0)
    ]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0
    assert ranks[-1] == 4


def test_more_epsilon_spreads_exposure():
    scores = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (300, 1))
    counts = np.zeros(40, dtype=np.int64)
    seen = [
        len(np.unique(made("epsilon-greedy", epsilon=epsilon).lists(scores, 5, counts, draws(300)).items))
        for epsilon in (0.0, 0.02, 0.5)
    ]
    assert seen[0] == 5 < seen[1] < seen[2] == 40
