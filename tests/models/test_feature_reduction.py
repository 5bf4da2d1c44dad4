"""Reduced features: the directions of an independent decomposition, the same whatever the order of the items."""

import numpy as np

from everbloom.models.features.reduction import principal_components


def test_principal_components_are_whitened_directions_of_unit_length():
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) + 3).astype(np.float32)
    found = principal_components(data, 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    left, _, _ = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    expected = left[:, :4] / np.linalg.norm(left[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3)


def test_more_axes_than_there_are_stay_zero():
    data = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    found = principal_components(data, 5)
    assert found.shape == (20, 5)
    assert not found[:, 3:].any()


def test_signs_are_fixed():
    data = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    shuffled = np.random.default_rng(1).permutation(50)
    np.testing.assert_allclose(
        principal_components(data[shuffled], 2), principal_components(data, 2)[shuffled], atol=1e-4
    )


def test_equal_items_are_no_division_by_zero():
    assert np.isfinite(principal_components(np.ones((5, 3), dtype=np.float32), 2)).all()
