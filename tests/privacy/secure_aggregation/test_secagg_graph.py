"""The neighbour graph: regular, symmetric, the same for whoever computes it, and as safe as `failure` says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from everbloom.privacy.secure_aggregation.graph import NeighbourGraph, failure
from everbloom.privacy.secure_aggregation.terms import Terms


@given(st.sets(st.integers(0, 2**40), min_size=3, max_size=60), st.integers(2, 70), st.binary(max_size=4))
def test_regular_symmetric_and_without_loops(members, degree, seed):
    graph = NeighbourGraph(seed, sorted(members), degree)
    same = NeighbourGraph(seed, sorted(members, reverse=True), degree)
    assert degree <= graph.degree <= degree + 1 or graph.degree == len(members) - 1
    for member in members:
        found = graph.neighbours(member)
        assert len(set(found)) == len(found) == graph.degree
        assert list(found) == sorted(found)
        assert member not in found
        assert same.neighbours(member) == found
        assert all(member in graph.neighbours(other) for other in found)


def test_another_seed_gives_another_graph():
    members = range(200)
    one, other = (NeighbourGraph(seed, members, 20) for seed in (b"one", b"other"))
    shared = np.mean([len(set(one.neighbours(m)) & set(other.neighbours(m))) for m in members])
    assert shared == pytest.approx(20 * 20 / 199, abs=0.4)


@given(st.integers(12, 60), st.integers(1, 4), st.data())
def test_survivors_in_every_run_keep_the_graph_connected(size, half, data):
    graph = NeighbourGraph(b"seed", range(size), 2 * half)
    survivors = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    connected = len(component(graph, survivors)) == len(survivors)
    if graph.fewest_in_a_run(survivors) > 0:
        assert connected
    if not connected:
        assert graph.fewest_in_a_run(survivors) == 0


def component(graph: NeighbourGraph, survivors: set[int]) -> set[int]:
    reached, edge = set(), {min(survivors)}
    while edge:
        reached |= edge
        edge = {other for one in edge for other in graph.neighbours(one) if other in survivors} - reached
    return reached


def test_the_thinnest_run_is_found():
    """All runs counted one by one along the ring, which the neighbours of `half` = 1 spell out."""
    ring_graph, graph = NeighbourGraph(b"s", range(30), 2), NeighbourGraph(b"s", range(30), 8)
    ring, previous = [0], None
    while len(ring) < 30:
        following = next(n for n in ring_graph.neighbours(ring[-1]) if n != previous and n not in ring)
        previous = ring[-1]
        ring.append(following)
    survivors = set(ring) - {ring[3], ring[5], ring[6], ring[29]}
    runs = [sum(ring[(start + step) % 30] in survivors for step in range(4)) for start in range(30)]
    assert graph.fewest_in_a_run(survivors) == min(runs) == 1
    assert graph.least_in_a_run == 1
    assert NeighbourGraph(b"s", range(30), 16).least_in_a_run == 2
    assert NeighbourGraph(b"s", range(30), 29).least_in_a_run == 0


@pytest.mark.parametrize(("members", "degree", "needed"), [(1000, 80, 41), (300, 40, 25), (50, 49, 25)])
def test_failure_is_the_exact_tail(members, degree, needed):
    found = failure(members, degree, needed, 0.1, 0.2)
    bad = hypergeom(members - 1, math.ceil(0.1 * members), degree)
    gone = hypergeom(members - 1, math.ceil(0.2 * members), degree)
    for value, tail in ((found.exposed, bad.sf(needed - 1)), (found.unopened, gone.sf(degree - needed))):
        expected = math.log2(tail * members) if tail else -math.inf
        assert value == pytest.approx(expected, rel=1e-3)


def test_failure_of_a_complete_graph():
    found = failure(100, 99, 51, 0.5, 0.1)
    assert (found.exposed, found.divided, found.cut, found.unopened) == (-math.inf,) * 4
    assert failure(100, 99, 51, 0.51, 0.1).exposed > 0


def test_failure_at_the_default_is_what_the_terms_say():
    terms = Terms(run=0, period=0, round=0, length=1)
    for members, exposed, unopened in ((1000, -49, -15), (10_000, -40, -10)):
        found = failure(members, terms.degree, terms.shares_needed(terms.degree), 0.1, 0.2)
        assert math.ceil(found.exposed) == exposed
        assert math.ceil(found.unopened) == unopened
        assert found.divided < -40


def test_exposure_by_drawing():
    """The bound is close where failures are common enough to be counted."""
    members, degree, needed, draws = 60, 10, 6, 3000
    rng = np.random.default_rng(3)
    seen = 0
    for draw in range(draws):
        graph = NeighbourGraph(str(draw).encode(), range(members), degree)
        bad = set(rng.choice(members, 12, replace=False).tolist())
        seen += sum(len(bad.intersection(graph.neighbours(m))) >= needed for m in range(members) if m not in bad)
    expected = 48 * hypergeom(members - 1, 12, degree).sf(needed - 1)
    assert seen / draws == pytest.approx(expected, rel=0.15)
    assert expected < 2 ** failure(members, degree, needed, 0.2, 0.0).exposed
