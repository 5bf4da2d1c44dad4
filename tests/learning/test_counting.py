"""Votes: whose, for what, how long; and what leaves a device of them."""

import numpy as np
import pytest
import torch

from everbloom.config import ModelConfig
from everbloom.data.events import Histories
from everbloom.data.timeline import TrainingWindow
from everbloom.learning.counting import Voters, Votes, count_each, count_total
from everbloom.learning.local import Draws
from everbloom.models.recommender import build_recommender, layout_of
from everbloom.privacy.counted_steps import counted_steps
from everbloom.privacy.noise import SeededNoise

ITEMS = 7
WINDOW = TrainingWindow(start=10, end=20)


@pytest.fixture
def events():
    """Three users; the second has nothing in the window."""
    return Histories(
        item=np.array([0, 1, 1, 2, 3, 4, -1, 5, 5], dtype=np.int32),
        time=np.array([5, 10, 12, 15, 20, 9, 12, 11, 19], dtype=np.int64),
        behaviour=np.zeros(9, dtype=np.uint8),
        value=np.ones(9, dtype=np.float32),
        offsets=np.array([0, 5, 7, 9]),
    )


WEIGHT = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1], dtype=np.float32)


@pytest.fixture
def layout():
    user = {"layers": 1, "heads": 2, "history": 4}
    model = build_recommender(ITEMS, None, ModelConfig.model_validate({"dim": 4, "prior": {}, "user": user}), seed=1)
    return layout_of(model)


def test_distinct_items_of_the_window_alone(events):
    votes = Votes.of_users(events, WEIGHT, WINDOW, ITEMS)
    assert list(zip(votes.voter.tolist(), votes.item.tolist(), strict=True)) == [(0, 1), (0, 2), (2, 5)]
    assert votes.entries(None).tolist() == [1, 1, 1]


def test_every_vote_is_just_within_the_bound(events):
    votes = Votes.of_users(events, WEIGHT, WINDOW, ITEMS)
    lengths = np.sqrt(np.bincount(votes.voter, votes.entries(0.7) ** 2, minlength=3))
    assert lengths[1] == 0
    assert lengths[[0, 2]] == pytest.approx([0.7, 0.7], rel=2e-4)
    assert (lengths < 0.7).all()


def voters_of(events, count=3):
    def draws():
        return tuple(
            Draws(np.uint64(0), torch.Generator().manual_seed(n), SeededNoise(torch.Generator().manual_seed(90 + n)))
            for n in range(count)
        )

    return Voters(events, WEIGHT, WINDOW, draws)


def test_without_privacy_the_counts_are_exact_and_nothing_else_moves(events, layout):
    each, total = (count(None, layout, voters_of(events)) for count in (count_each, count_total))
    assert each.shape == (3, layout.size())
    assert total[0, layout.counted].tolist() == [0, 1, 1, 0, 0, 1, 0]
    np.testing.assert_array_equal(each.sum(axis=0), total[0])
    outside = np.delete(total[0], np.arange(layout.size())[layout.counted])
    assert not outside.any()


@pytest.mark.parametrize("multiplier", [2 / 3, 1.0, 1.5])
def test_noise_of_the_steps_is_the_plans(make_plan, multiplier):
    """Standard deviation of the released mean over the steps; a plan with two thirds or three halves of the noise is told apart."""
    plan = make_plan(noise_multiplier=2.0 * multiplier, clip_norm=0.5, steps_per_round=4, denominator=10.0)
    nothing = np.zeros(0, dtype=np.int64)
    found = counted_steps(
        plan, nothing, nothing, np.zeros(0, dtype=np.float32), 0, 20_000,
        torch.Generator().manual_seed(1), SeededNoise(torch.Generator().manual_seed(2)),
    )  # fmt: skip
    expected = 2.0 * 0.5 / 10 / 4**0.5
    assert (abs(found.std() / expected - 1) < 0.05) == (multiplier == 1)


def test_no_example_moves_a_step_by_more_than_the_clip_norm(make_plan):
    plan = make_plan(noise_multiplier=1e-9, clip_norm=0.5, denominator=1.0)
    voter, item = np.array([0, 0, 1]), np.array([0, 1, 2])
    found = counted_steps(
        plan, voter, item, np.array([30, 40, 0.1], dtype=np.float32), 2, 3,
        torch.Generator().manual_seed(1), SeededNoise(torch.Generator().manual_seed(2)),
    )  # fmt: skip
    np.testing.assert_allclose(found, [0.3, 0.4, 0.1], rtol=1e-5)
