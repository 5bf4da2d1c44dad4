"""Derived randomness: a function of its full name and of nothing else."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everbloom.seeding import derive, keys, numpy_generator, torch_generator, uniforms, uniforms_from

names = st.tuples(
    st.integers(0, 5), st.sampled_from(["noise", "cohort"]), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)
)


def seed_of(name: tuple[int, str, int, int, int]) -> int:
    seed, purpose, period, round, client = name
    return derive(seed, purpose, period=period, round=round, client=client)


@given(names, names)
def test_distinct_uses_get_distinct_seeds(one, other):
    assert (seed_of(one) == seed_of(other)) == (one == other)


def test_the_seed_is_the_head_of_a_hash_of_the_name():
    """Golden: what a run recorded years ago drew must stay what it draws."""
    expected = int(hashlib.sha256(b"7/noise/1/2/3").hexdigest()[:16], 16) // 2
    assert derive(7, "noise", period=1, round=2, client=3) == expected
    assert 0 <= expected < 2**63


@pytest.mark.parametrize("change", [{"period": 1}, {"round": 1}, {"client": 1}])
def test_numbers_are_slashed_apart(change):
    """Round 1 of client 11 is not round 11 of client 1, and no field stands in for another."""
    assert derive(1, "x", round=1, client=11) != derive(1, "x", round=11, client=1)
    assert derive(1, "x", **change) != derive(1, "x")


def test_generators_repeat_and_leave_the_global_ones_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = torch_generator(1, "noise", round=4)
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=torch_generator(1, "noise", round=4)))
    assert np.array_equal(numpy_generator(1, "cohort").random(5), numpy_generator(1, "cohort").random(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_clients_draws_do_not_depend_on_who_else_draws():
    every = uniforms(3, "x", np.arange(50), 7, period=1, round=2)
    some = uniforms(3, "x", np.array([41, 5]), 7, period=1, round=2)
    assert np.array_equal(some, every[[41, 5]])
    assert not np.allclose(every, uniforms(3, "x", np.arange(50), 7, period=2, round=1))


def test_a_sequence_can_be_entered_anywhere():
    starts = keys(3, "x", np.arange(4))
    whole = uniforms_from(starts, 20)
    parts = uniforms_from(starts, 5, skip=np.array([0, 3, 15, 7]))
    assert all(np.array_equal(parts[row], whole[row, skip : skip + 5]) for row, skip in enumerate((0, 3, 15, 7)))


def test_client_draws_are_uniform_and_unrelated():
    """Means, variance and correlations between neighbours (values, clients, rounds) within five standard errors."""
    drawn = uniforms(1, "x", np.arange(2000), 100)
    other = uniforms(1, "x", np.arange(2000), 100, round=1)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    bound = 5 / np.sqrt(drawn.size)
    assert abs(drawn.mean() - 0.5) < bound * 0.29
    assert abs(drawn.var() - 1 / 12) < bound / 12
    pairs = [(drawn[:, 1:], drawn[:, :-1]), (drawn[1:], drawn[:-1]), (drawn, other)]
    assert all(abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < bound for one, two in pairs)
    counts = np.bincount((drawn * 16).astype(int).ravel(), minlength=16)
    assert ((counts - drawn.size / 16) ** 2).sum() / (drawn.size / 16) < 45
