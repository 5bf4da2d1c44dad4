"""Dropout masks: each client's own, the same in whatever company, new for every step and example."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everbloom.config import ModelConfig
from everbloom.learning.masks import draw_masks
from everbloom.models.recommender import Recommender, build_recommender
from everbloom.models.users import Dropout
from everbloom.seeding import keys


def model_of(dropout: float = 0.4, layers: int = 1) -> Recommender:
    user = {"layers": layers, "heads": 2, "history": 5, "feedforward": 1, "dropout": dropout}
    return build_recommender(9, None, ModelConfig.model_validate({"dim": 8, "user": user}), seed=1)


MODEL = model_of()


def masks(clients: list[int], counts: list[int], step: int = 0, round: int = 1) -> torch.Tensor:
    found = draw_masks(MODEL, keys(3, "dropout", np.array(clients), round=round), np.array(counts), step)
    assert found is not None
    return found


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_a_row_for_every_place_where_something_is_dropped(layers):
    found = draw_masks(model_of(layers=layers), keys(3, "dropout", np.arange(2)), np.array([3, 4]), 0)
    assert found is not None
    assert found.shape == (7, 1 + 2 * layers, 5)
    assert found.dtype == torch.int64


def test_a_model_that_drops_nothing_needs_none():
    assert draw_masks(model_of(dropout=0), keys(3, "dropout", np.arange(2)), np.array([3, 4]), 0) is None


def test_nobody_and_nothing_are_no_masks():
    assert masks([4, 5], [0, 0]).shape == (0, 3, 5)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 3))
def test_masks_do_not_depend_on_who_trains_beside(counts, step):
    clients = [7 * place + 2 for place in range(len(counts))]
    together = masks(clients, counts, step)
    alone = [masks([client], [count], step) for client, count in zip(clients, counts, strict=True)]
    assert torch.equal(together, torch.cat(alone))
    back = masks(clients[::-1], counts[::-1], step)
    assert torch.equal(back, torch.cat(alone[::-1]))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))
def test_an_example_has_the_same_masks_however_many_follow(few, more, step):
    assert torch.equal(masks([4], [few + more], step)[:few], masks([4], [few], step))


def test_examples_steps_clients_and_rounds_differ():
    """As far as chance has it: two draws meet in one of `Dropout.ROWS`."""
    first = masks([4], [50])
    others = [masks([4], [50], step=1), masks([5], [50]), masks([4], [50], round=2), first.roll(1, dims=0)]
    assert all(float((first == other).float().mean()) < 0.01 for other in others)
    assert torch.equal(first, masks([4], [50]))


def test_no_two_examples_or_steps_share_a_stretch_of_draws():
    """Not even shifted: three in a row of 4096 meet again once in 7e10."""
    drawn = torch.cat([masks([4, 5], [30, 30], step) for step in range(4)]).flatten(start_dim=1)
    stretches = drawn.unfold(1, 3, 1).reshape(-1, 3)
    assert len(stretches.unique(dim=0)) == len(stretches)


def test_rows_are_uniform():
    found = masks(list(range(20)), [50] * 20)
    assert 0 <= int(found.min()) <= int(found.max()) < Dropout.ROWS
    counts = np.bincount(found.flatten().numpy() // (Dropout.ROWS // 16), minlength=16)
    # chi-square with 15 degrees of freedom: 37.7 is its 99.9% point
    assert ((counts - found.numel() / 16) ** 2 / (found.numel() / 16)).sum() < 37.7


def test_what_is_dropped_is_the_rate_and_what_is_left_has_mean_one():
    """Of each component, of neighbouring components together, and of one example's positions."""
    drawn = MODEL.user.dropout.masks[masks(list(range(20)), [50] * 20)]
    dropped = (drawn == 0).float()
    several = 5 * (0.4 * 0.6 / Dropout.ROWS) ** 0.5  # the table's own scatter is what counts
    assert dropped.mean(dim=(0, 1, 2)).tolist() == pytest.approx([0.4] * 8, abs=several)
    assert float(drawn.mean()) == pytest.approx(1, abs=0.02)
    together = (dropped[..., 1:] * dropped[..., :-1]).mean(dim=(0, 1, 2))
    assert together.tolist() == pytest.approx([0.16] * 7, abs=several)
    assert float((dropped[:, :, 1:] * dropped[:, :, :-1]).mean()) == pytest.approx(0.16, abs=several)
