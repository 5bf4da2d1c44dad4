"""Candidates against brute force: distinct own items once, usable negatives, nothing of one example in another's."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from everbloom.learning.candidates import build_candidates, draw_negatives
from everbloom.learning.examples import Examples
from everbloom.seeding import PublicDraws


def padded(rows: list[list[int]]) -> Examples:
    width = max(map(len, rows))
    real = torch.tensor([[place < len(row) for place in range(width)] for row in rows])
    items = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    every = torch.arange(width).expand(len(rows), width)
    return Examples(items, torch.zeros_like(items), real, real.float(), every, items * 0)


PER_EXAMPLE = ("place", "target", "weight", "masked", "own", "negatives")
items = st.integers(0, 8)
row_lists = st.lists(st.lists(items, min_size=1, max_size=6), min_size=1, max_size=4)


@given(row_lists, st.lists(items, min_size=1, max_size=8))
def test_candidates_by_brute_force(rows, negatives):
    found = build_candidates(padded(rows), torch.tensor([negatives]), 9)
    width = found.columns
    for place, row in enumerate(rows):
        masked = found.masked[place, 0].tolist()
        own_columns = [column for column in range(width) if not masked[column]]
        assert own_columns == [column for column, item in enumerate(row) if item not in row[:column]]
        assert [masked[width + column] for column in range(len(negatives))] == [item in row for item in negatives]
        assert [row[column] for column in found.target[place, : len(row)].tolist()] == row
        assert not any(masked[column] for column in found.target[place, : len(row)].tolist())
        assert int(found.own[place]) == len(set(row))
        assert int(found.negatives[place]) == sum(item not in row for item in negatives)


@given(row_lists, st.lists(items, min_size=1, max_size=8))
def test_an_example_alone_has_the_same_candidates_as_among_others(rows, negatives):
    together = build_candidates(padded(rows), torch.tensor([negatives]), 9)
    examples = padded(rows)
    for place in range(len(rows)):
        alone = build_candidates(examples.take(torch.tensor([place])), torch.tensor([negatives]), 9)
        for name in PER_EXAMPLE:
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[place]), name


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.data())
def test_grouped_negatives_are_those_of_each_group_alone(groups, each, k, data):
    rows = data.draw(st.lists(st.lists(items, min_size=1, max_size=6), min_size=groups * each, max_size=groups * each))
    drawn = data.draw(st.lists(st.lists(items, min_size=k, max_size=k), min_size=groups, max_size=groups))
    examples, negatives = padded(rows), torch.tensor(drawn)
    together = build_candidates(examples, negatives, 9)
    assert (together.k, together.columns) == (k, examples.items.shape[1])
    for group in range(groups):
        own = torch.arange(group * each, (group + 1) * each)
        alone = build_candidates(examples.take(own), negatives[group : group + 1], 9)
        for name in PER_EXAMPLE:
            assert torch.equal(getattr(together, name)[own], getattr(alone, name)), name


@given(row_lists, st.data())
def test_scored_positions_are_all_or_some(rows, data):
    """Where few positions are scored, their targets and weights are those they have among all."""
    examples = padded(rows)
    place = torch.tensor([[data.draw(st.integers(0, len(row) - 1))] for row in rows])
    some = Examples(examples.items, examples.behaviour, examples.real, examples.weight, place, examples.gap)
    negatives = torch.tensor([[3, 8]])
    all_found, found = build_candidates(examples, negatives, 9), build_candidates(some, negatives, 9)
    assert torch.equal(found.target, torch.gather(all_found.target, 1, place))
    assert torch.equal(found.weight, torch.gather(all_found.weight, 1, place))
    assert torch.equal(found.masked, all_found.masked)
    assert found.columns == all_found.columns


def test_negatives_are_uniform_over_the_catalogue():
    drawn = draw_negatives(np.arange(10), 20_000, PublicDraws(0, np.arange(1), 0, 0))[0]
    counts = np.bincount(drawn.numpy(), minlength=10)
    assert len(counts) == 10
    # chi-square with 9 degrees of freedom: 27.9 is its 99.9% point
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9


def test_a_clients_negatives_are_its_own():
    """Different for clients, rounds and periods, and the same whoever else draws."""
    every = draw_negatives(np.arange(1000), 9, PublicDraws(0, np.arange(20), 1, 2))
    assert every.shape == (20, 9)
    assert torch.equal(draw_negatives(np.arange(1000), 9, PublicDraws(0, np.array([17, 4]), 1, 2)), every[[17, 4]])
    assert len({tuple(row) for row in every.tolist()}) == 20
    assert not torch.equal(draw_negatives(np.arange(1000), 9, PublicDraws(0, np.arange(20), 2, 1)), every)
