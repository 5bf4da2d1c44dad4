"""Cohorts: seeded, of the right size, of those who may be asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.config import FederationConfig
from server.sampling import sample_cohort

CLIENTS = np.arange(100, 300)


def cohort(round: int = 1, eligible: np.ndarray | None = None, seed: int = 0, **federation: object) -> np.ndarray:
    config = FederationConfig.model_validate({"cohort": 20, **federation})
    allowed = np.ones(len(CLIENTS), dtype=bool) if eligible is None else eligible
    return sample_cohort(CLIENTS, lambda clients: allowed[clients - 100], config, seed, 0, round)


@pytest.mark.parametrize(
    ("given_size", "population", "size"),
    [(20, 200, 20), (20, 7, 7), (0.25, 200, 50), (0.001, 200, 1), (1.0, 200, 200), (1, 200, 1)],
)
def test_size(given_size, population, size):
    assert FederationConfig(cohort=given_size).cohort_size(population) == size


@given(st.integers(1, 300), st.integers(0, 50), st.integers(0, 200))
def test_a_uniform_cohort_is_distinct_eligible_and_as_large_as_can_be(size, seed, allowed):
    eligible = np.random.default_rng(seed).permutation(200) < allowed
    found = cohort(seed=seed, eligible=eligible, cohort=size)
    assert len(found) == min(size, allowed)
    assert len(set(found.tolist())) == len(found)
    assert np.isin(found, CLIENTS[eligible]).all()
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("sampler", ["uniform", "poisson"])
def test_the_seed_and_the_round_decide(sampler):
    assert np.array_equal(cohort(sampler=sampler), cohort(sampler=sampler))
    others = [cohort(sampler=sampler, round=2), cohort(sampler=sampler, seed=1)]
    assert not any(np.array_equal(cohort(sampler=sampler), other) for other in others)


@pytest.mark.parametrize(
    ("sampler", "size", "allowed"),
    [("uniform", 20, 200), ("uniform", 5, 200), ("uniform", 5, 90), ("poisson", 20, 200), ("poisson", 20, 90)],
    ids=["one look at all", "draws", "draws among few, then a look at all", "poisson", "poisson among few"],
)
def test_everyone_is_drawn_as_often(sampler, size, allowed):
    """Within five standard deviations of what independent draws would give, so that a bias of a half would be seen."""
    eligible = np.random.default_rng(0).permutation(200) < allowed
    counts, rounds = np.zeros(len(CLIENTS)), 1500
    for round in range(rounds):
        counts[cohort(sampler=sampler, round=round, cohort=size, eligible=eligible) - 100] += 1
    expected = rounds * size / (allowed if sampler == "uniform" else 200)
    assert (counts[~eligible] == 0).all()
    assert counts[eligible].mean() == pytest.approx(expected, rel=0.04)
    assert np.abs(counts[eligible] - expected).max() < 5 * np.sqrt(expected)


def test_pairs_are_drawn_as_often():
    """Without replacement: two of six, in every combination; the population is large enough to be drawn from."""
    clients, few = np.arange(96), np.arange(6) * 17
    pairs: dict[tuple[int, ...], int] = {}
    for round in range(3000):
        found = sample_cohort(clients, lambda asked: np.isin(asked, few), FederationConfig(cohort=2), 0, 0, round)
        pairs[tuple(found.tolist())] = pairs.get(tuple(found.tolist()), 0) + 1
    assert len(pairs) == 15
    assert max(abs(count - 200) for count in pairs.values()) < 5 * np.sqrt(200)


@pytest.mark.parametrize("sampler", ["uniform", "poisson"])
def test_a_round_looks_at_as_many_clients_however_many_there_are(sampler):
    looks = []
    for population in (10_000, 1_000_000):
        seen = []

        def eligible(clients: np.ndarray, seen: list[int] = seen) -> np.ndarray:
            seen.append(len(clients))
            return clients % 4 != 0

        config = FederationConfig(cohort=100, sampler=sampler)
        found = [sample_cohort(np.arange(population), eligible, config, 0, 0, round) for round in range(30)]
        assert all((cohort % 4 != 0).all() for cohort in found)
        looks.append(sum(seen) / 30)
    assert max(looks) < 1.1 * min(looks) < 200


def test_poisson_cohorts_have_a_binomial_size_and_uniform_ones_a_fixed():
    sizes = [len(cohort(sampler="poisson", round=round)) for round in range(1500)]
    assert np.mean(sizes) == pytest.approx(20, abs=0.5)
    assert np.var(sizes) == pytest.approx(200 * 0.1 * 0.9, rel=0.15)
    assert {len(cohort(round=round)) for round in range(50)} == {20}


def test_poisson_asks_no_one_who_may_not_be_asked_and_the_others_as_before():
    """Who is eligible never changes anyone else's chance."""
    eligible = np.arange(200) % 2 == 0
    for round in range(50):
        everyone, allowed = (
            cohort(sampler="poisson", round=round),
            cohort(sampler="poisson", round=round, eligible=eligible),
        )
        assert allowed.tolist() == [client for client in everyone.tolist() if client % 2 == 0]


def test_a_poisson_cohort_may_be_empty():
    assert 0 in {len(cohort(sampler="poisson", cohort=1, round=round)) for round in range(30)}
