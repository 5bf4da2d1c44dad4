"""Is the rotation orthogonal, undone by its inverse, the same for everybody, and does it spread what it is given?"""

import math

import numpy as np
import pytest
from scipy.linalg import hadamard

from everbloom.privacy.discrete.rotation import padded_size, rotate, unrotate


def test_sizes_are_powers_of_two():
    assert [padded_size(n) for n in (1, 2, 3, 4, 5, 1024, 1025, 50_000)] == [1, 2, 4, 4, 8, 1024, 2048, 65_536]


@pytest.mark.parametrize("params", [1, 2, 3, 8, 100, 512])
def test_it_is_signs_then_the_hadamard_matrix(params):
    size = padded_size(params)
    matrix = rotate(np.eye(params), seed=3)
    expected = hadamard(size)[:params] / math.sqrt(size)
    signs = matrix[:, 0] * math.sqrt(size)
    assert set(np.unique(signs)) <= {-1.0, 1.0}
    assert np.allclose(matrix, signs[:, None] * expected, atol=1e-15)


@pytest.mark.parametrize("params", [1, 7, 4096, 50_000])
def test_it_keeps_norms_and_is_undone(params):
    updates = np.random.default_rng(params).normal(size=(3, params))
    spread = rotate(updates, seed=11)
    assert np.allclose(np.linalg.norm(spread, axis=1), np.linalg.norm(updates, axis=1), rtol=2e-15)
    assert np.allclose(unrotate(spread, seed=11, params=params), updates, rtol=0, atol=1e-14)


def test_clients_do_not_mix_and_none_is_no_error():
    updates = np.random.default_rng(1).normal(size=(5, 300))
    assert np.allclose(rotate(updates, 2), np.concatenate([rotate(row[None], 2) for row in updates]), atol=1e-14)
    assert rotate(updates[:0], 2).shape == (0, 512)


def test_one_coordinate_is_spread_over_all_and_a_dense_update_stays_flat():
    one = np.zeros((1, 4096))
    one[0, 17] = 1.0
    assert np.allclose(np.abs(rotate(one, 5)), 1 / 64)
    # The worst of 20 updates that are all equal: sub-Gaussian, so below sqrt(2 ln(2 * 20 * 4096)) / 64 but for one time in 100.
    spread = np.stack([rotate(np.ones((1, 4096)) / 64, seed)[0] for seed in range(20)])
    assert np.abs(spread).max() < math.sqrt(2 * math.log(200 * 20 * 4096)) / 64
    assert np.var(spread) == pytest.approx(1 / 4096, rel=0.01)


def test_the_signs_are_those_that_other_versions_draw():
    """A device and a server that disagree would decode nonsense. Half of them are minus."""
    signs = np.sign(rotate(np.eye(16), seed=2026)[:, 0]).astype(int).tolist()
    assert signs == GOLDEN
    many = rotate(np.eye(1024), seed=1)[:, 0] * 32
    assert abs(many.sum()) < 4 * 32
    assert not np.array_equal(many, rotate(np.eye(1024), seed=2)[:, 0] * 32)


GOLDEN = [1, 1, 1, -1, 1, -1, 1, -1, 1, 1, -1, 1, -1, -1, 1, -1]
