"""Gaussian mechanisms that read everything: exact, by Gaussian differential privacy (Dong, Roth and Su, 2022)."""

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr


@lru_cache(maxsize=4096)
def gaussian_epsilon(mu: float, delta: float) -> float:
    """Epsilon of mu-GDP at delta, exact (Dong, Roth and Su, 2022, corollary 2.13).

    T full-batch Gaussian steps of noise multiplier s compose to mu = sqrt(T) / s. Unit: nats; relation: that of the mechanism.
    """
    if mu == 0 or _gaussian_delta(0.0, mu) <= delta:
        return 0.0
    high = 1.0
    while _gaussian_delta(high, mu) > delta:
        high *= 2
    return float(brentq(lambda epsilon: _gaussian_delta(epsilon, mu) - delta, 0.0, high, xtol=1e-9))


@lru_cache(maxsize=4096)
def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu with `gaussian_epsilon(mu, delta) <= epsilon`."""
    high = 1.0
    while gaussian_epsilon(high, delta) < epsilon:
        high *= 2
    return float(brentq(lambda mu: gaussian_epsilon(mu, delta) - epsilon, 1e-9, high, xtol=1e-9)) * (1 - 1e-8)


def _gaussian_delta(epsilon: float, mu: float) -> float:
    """delta(epsilon) of mu-GDP; the second term in logarithms, since e^epsilon alone overflows."""
    return float(ndtr(-epsilon / mu + mu / 2) - np.exp(epsilon + log_ndtr(-epsilon / mu - mu / 2)))
