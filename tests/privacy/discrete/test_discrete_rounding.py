"""Is the norm of what is rounded always within its bound, whatever is given, and is the rounding unbiased?"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everbloom.errors import PrivacyError
from everbloom.privacy.discrete.rounding import LARGEST_NORM, clipped, inflated_norm, rounded
from everbloom.privacy.noise import CryptographicNoise, SeededNoise


def source(label: bytes = b"") -> CryptographicNoise:
    return CryptographicNoise(bytes(32), label)


def test_the_inflated_norm_is_the_papers():
    """Its two branches, worked out by hand: the second wins where the grid is coarse."""
    assert inflated_norm(1.0, 0.01, 1024) == pytest.approx(math.sqrt(1 + 1e-4 * 256 + 0.01 * (1 + 0.01 * 16)))
    assert inflated_norm(1.0, 1.0, 1) == pytest.approx(min(math.sqrt(1 + 0.25 + 1.5), 2.0))
    assert inflated_norm(1e-6, 1.0, 4) == pytest.approx(math.sqrt(1e-12 + 1 + 1e-6 + 1))
    assert inflated_norm(2.0, 0.0, 10**6) == 2.0


@pytest.mark.parametrize("size", [1, 16, 4096])
@pytest.mark.parametrize("granularity", [1.0, 0.1, 0.001])
def test_the_norm_is_within_the_bound(size, granularity):
    """Updates on the clip norm, at the fractions that lengthen them most: never above, and the bound is not idle where it is small."""
    clip = 1.0
    bound = math.floor((inflated_norm(clip, granularity, size) / granularity) ** 2)
    generator = np.random.default_rng(size)
    updates = np.concatenate([generator.normal(size=(200, size)), np.ones((50, size)), np.eye(size)[:50]])
    integers = rounded(clipped(updates, clip) / granularity, bound, source())
    assert np.array_equal(integers, np.floor(integers))
    assert (integers**2).sum(axis=1).max() <= bound
    assert np.abs(integers - clipped(updates, clip) / granularity).max() < 1


def test_what_is_too_long_is_drawn_again():
    """Half of the draws of (0.5, ..., 0.5) have more than d/2 ones: with the bound at d/2 no returned one has."""
    integers = rounded(np.full((500, 64), 0.5), 32, source())
    assert (integers**2).sum(axis=1).max() <= 32
    assert (integers**2).sum(axis=1).mean() > 28


def test_rounding_is_unbiased():
    """Mean over many draws; two thirds of the distance to the next integer, or one and a half times it, would be seen."""
    values = np.linspace(-3, 3, 41)
    draws = rounded(np.tile(values, (20_000, 1)), 10**6, source())
    error = (draws.mean(axis=0) - values) / np.sqrt(np.maximum((values % 1) * (1 - values % 1), 1e-9) / 20_000)
    assert np.abs(error).max() < 4.5
    assert np.array_equal(draws[:, ::10].astype(int) % 1, np.zeros((20_000, 5)))
    fraction = (draws - np.floor(values)).mean(axis=0)
    inside = (values % 1 > 0.2) & (values % 1 < 0.6)
    for wrong in (2 / 3, 3 / 2):
        assert (np.abs(fraction - wrong * (values % 1))[inside] > 0.05).all()


def test_conditioning_biases_little():
    """At the clip norm, with the bound in force: the mean stays within a thousandth of the norm (statistical error included)."""
    update = clipped(np.random.default_rng(0).normal(size=(1, 256)), 1.0)
    granularity = 0.02
    bound = math.floor((inflated_norm(1.0, granularity, 256) / granularity) ** 2)
    mean = rounded(np.tile(update / granularity, (40_000, 1)), bound, source()).mean(axis=0) * granularity
    assert np.linalg.norm(mean - update) < 2e-3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_stops_everything(value):
    updates = np.zeros((3, 4), dtype=np.float32)
    updates[1, 2] = value
    with pytest.raises(PrivacyError, match="update 1: holds a value that is not finite"):
        clipped(updates, 1.0)
    with pytest.raises(PrivacyError, match="update 1: not finite or not clipped"):
        rounded(updates.astype(np.float64), 100, source())


@settings(deadline=None, max_examples=200)
@given(arrays(np.float64, (2, 5), elements=st.floats(allow_nan=False, allow_infinity=False)), st.floats(1e-6, 1e6))
def test_clipping_holds_for_whatever_float64_holds(updates, clip):
    result = clipped(updates, clip)
    assert np.isfinite(result).all()
    assert (np.sqrt((result**2).sum(axis=1)) <= clip * (1 + 1e-12)).all()
    short = np.array([math.hypot(*row) for row in updates]) <= clip * (1 - 1e-12)
    # Beside a long entry one near the smallest number there is becomes subnormal when both are scaled.
    assert np.allclose(result[short], updates[short], rtol=1e-12, atol=1e-300)
    assert (np.sign(result) * np.sign(updates) >= 0).all()


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1.7e308])
def test_clipping_of_the_very_small_and_very_large(size):
    updates = np.array([[size, 0, 0], [size, size, size], [0, 0, 0], [-size, size / 2, 0]])
    result = clipped(updates, 1.0)
    if size < 1:
        assert np.allclose(result, updates, rtol=1e-3, atol=0)
    else:
        assert np.allclose(np.linalg.norm(result, axis=1), [1, 1, 0, 1])
    # In place of a copy: the caller's updates are its own.
    assert updates[0, 0] == size


@pytest.mark.parametrize("huge", [1e3, 1e30, 1e200])
def test_rounding_refuses_what_was_not_clipped(huge):
    with pytest.raises(PrivacyError, match="update 0"):
        rounded(np.full((1, 8), huge), 100, source())
    # Within the first check's allowance, yet no rounding of it is within the bound.
    with pytest.raises(PrivacyError, match="no rounding"):
        rounded(np.full((1, 1), 11.0), 100, source())


def test_a_grid_too_fine_for_exact_squares_is_refused():
    with pytest.raises(PrivacyError, match="too fine"):
        rounded(np.zeros((1, 1)), LARGEST_NORM**2 + 1, source())
    at_the_limit = rounded(np.array([[LARGEST_NORM - 0.5]]), LARGEST_NORM**2, source())
    assert at_the_limit.max() <= LARGEST_NORM


def test_no_clients_is_no_error_and_zero_stays_zero():
    assert clipped(np.zeros((0, 3)), 1.0).shape == (0, 3)
    seeded = SeededNoise(torch.Generator().manual_seed(1))
    assert rounded(np.zeros((0, 4)), 9, seeded).shape == (0, 4)
    assert not rounded(np.zeros((7, 5)), 9, seeded).any()
