"""Shamir's secret sharing (1979) of 32-byte secrets over the prime field of 2^256 + 297.

f(X) = secret + a_1 X + ... + a_{t-1} X^{t-1}; holder i has f(i), and any t of them have f(0) = sum_i f(i) prod_{j != i} j / (j - i).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from everbloom.errors import PrivacyError

PRIME = 2**256 + 297
"""The smallest prime above all 32-byte numbers."""
SHARE = 33
"""Bytes of a share."""
SECRET = 32
"""Bytes of a secret."""
_DRAW = 48
"""Random bytes for a coefficient: reduced mod the prime, the bias is below 2^-127."""


def randomness_needed(threshold: int) -> int:
    """Bytes for `split`."""
    return _DRAW * (threshold - 1)


def split(secret: bytes, threshold: int, points: Sequence[int], randomness: bytes) -> list[bytes]:
    """[points] shares, of which `threshold` recover `secret` [32 bytes] and fewer tell nothing.

    `points` are distinct and at least 1; `randomness` [`randomness_needed(threshold)` bytes] is secret and used for nothing else.
    Raises `PrivacyError` for anything else.
    """
    if len(secret) != SECRET or len(randomness) != randomness_needed(threshold):
        raise PrivacyError(
            f"secret sharing: {len(secret)} bytes of secret and {len(randomness)} of randomness for {threshold} of {len(points)}"
        )
    if not 1 <= threshold <= len(points) or len(set(points)) != len(points) or min(points) < 1:
        raise PrivacyError(
            f"secret sharing: {threshold} of {len(points)} shares, at points from {min(points, default=0)}"
        )
    draws = (randomness[at : at + _DRAW] for at in range(0, len(randomness), _DRAW))
    coefficients = [int.from_bytes(draw, "big") % PRIME for draw in draws]
    constant = int.from_bytes(secret, "big")
    shares = []
    for point in points:
        # Points are small, so the value grows by few bits a step, and reducing once at the end is fastest.
        value = 0
        for coefficient in coefficients:
            value = (value + coefficient) * point
        shares.append(((value + constant) % PRIME).to_bytes(SHARE, "big"))
    return shares


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret of exactly `threshold` shares by point. Raises `PrivacyError` if they are no shares of a 32-byte secret."""
    points = tuple(sorted(shares))
    if not points or points[0] < 1:
        raise PrivacyError("secret sharing: no shares to combine")
    values = [int.from_bytes(shares[point], "big") for point in points]
    if any(len(shares[point]) != SHARE for point in points) or max(values) >= PRIME:
        raise PrivacyError("secret sharing: a share is no element of the field")
    secret = sum(weight * value for weight, value in zip(_at_zero(points), values, strict=True)) % PRIME
    if secret >= 2 ** (8 * SECRET):
        raise PrivacyError("secret sharing: the shares do not belong together")
    return secret.to_bytes(SECRET, "big")


@lru_cache(maxsize=1024)
def _at_zero(points: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights at 0. The same few sets of points recur over a cohort."""
    weights = []
    for i in points:
        above, below = 1, 1
        for j in points:
            if j != i:
                above *= j
                below *= j - i
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)
