"""Shamir's sharing: enough shares recover, fewer tell nothing, wrong ones are refused."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.shamir import PRIME, combine, randomness_needed, split


def random_bytes(name: object, size: int) -> bytes:
    return hashlib.shake_256(repr(name).encode()).digest(size)


@settings(deadline=None)
@given(st.data(), st.binary(min_size=32, max_size=32))
def test_any_threshold_of_the_shares_recovers(data, secret):
    points = data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=40, unique=True))
    threshold = data.draw(st.integers(1, len(points)))
    shares = dict(
        zip(points, split(secret, threshold, points, random_bytes(points, randomness_needed(threshold))), strict=True)
    )
    chosen = data.draw(st.permutations(points))[:threshold]
    assert combine({point: shares[point] for point in chosen}) == secret


def test_the_field_holds_every_secret():
    """By Fermat's test to fifty bases, and at the largest secret."""
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in range(2, 52))
    assert PRIME > 2**256
    shares = split(b"\xff" * 32, 3, [1, 2, 3], random_bytes("largest", randomness_needed(3)))
    assert combine(dict(zip([1, 2, 3], shares, strict=True))) == b"\xff" * 32


def test_a_known_polynomial():
    """f(X) = 5 + 2 X + X^2, by hand."""
    randomness = (1).to_bytes(48, "big") + (2).to_bytes(48, "big")
    shares = split((5).to_bytes(32, "big"), 3, [1, 2, 10], randomness)
    assert [int.from_bytes(share, "big") for share in shares] == [8, 13, 125]


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_one_share_fewer_is_uniform(secret):
    """One of a threshold of two, over 4,000 sharings of one secret; the secret itself, added to a too small coefficient, is not."""

    def p_value(coefficient_size: int) -> float:
        seen = []
        for place in range(4000):
            randomness = random_bytes((secret, place), coefficient_size).rjust(48, b"\0")
            seen.append(split(secret, 2, [1, 2], randomness)[0][1])
        return float(chisquare(np.bincount(seen, minlength=256)).pvalue)

    assert p_value(48) > 1e-3
    assert p_value(16) < 1e-12


def test_too_few_shares_recover_something_else():
    secret = random_bytes("secret", 32)
    shares = dict(enumerate(split(secret, 4, [1, 2, 3, 4, 5], random_bytes("r", randomness_needed(4))), start=1))
    assert combine({point: shares[point] for point in (1, 2, 3)}) != secret
    assert combine(shares) == secret


@pytest.mark.parametrize(
    ("shares", "refused"),
    [
        ({}, "no shares"),
        ({0: bytes(33)}, "no shares"),
        ({1: bytes(32)}, "no element"),
        ({1: b"\xff" * 33}, "no element"),
        ({1: (2**256).to_bytes(33, "big")}, "do not belong together"),
    ],
)
def test_what_are_no_shares(shares, refused):
    with pytest.raises(PrivacyError, match=refused):
        combine(shares)


@pytest.mark.parametrize(
    ("threshold", "points"), [(4, [1, 2, 3]), (0, [1, 2, 3]), (2, [1, 1, 2]), (2, [0, 1, 2]), (1, [])]
)
def test_what_cannot_be_shared(threshold, points):
    with pytest.raises(PrivacyError, match="secret sharing"):
        split(bytes(32), threshold, points, bytes(max(0, randomness_needed(threshold))))


def test_randomness_of_another_size():
    with pytest.raises(PrivacyError, match="of randomness"):
        split(bytes(32), 3, [1, 2, 3], bytes(47))
