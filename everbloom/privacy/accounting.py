"""Epsilon of a mechanism, and noise for an epsilon; exact or by privacy loss distributions (dp-accounting). The plan alone calls this."""

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


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu with `gaussian_epsilon(mu, delta) <= epsilon`."""
    high = 1.0
    while gaussian_epsilon(high, delta) < epsilon:
        high *= 2
    return float(brentq(lambda mu: gaussian_epsilon(mu, delta) - epsilon, 1e-9, high, xtol=1e-9)) * (1 - 1e-8)


@lru_cache(maxsize=4096)
def poisson_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """Epsilon at delta of `steps` Poisson-sampled Gaussian steps, add/remove one (privacy loss distribution, Koskela et al.; upper bound)."""
    if steps == 0:
        return 0.0
    # A third of a client's import time, which on a SuperNode is spent for every message, and not needed without sampling.
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=1e-3)
    step = PoissonSampledDpEvent(sample_rate, GaussianDpEvent(noise_multiplier))
    accountant.compose(SelfComposedDpEvent(step, steps))
    return float(accountant.get_epsilon(delta))


def poisson_noise(epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """The smallest noise multiplier (to 0.1%, rounded up) that keeps `steps` Poisson-sampled Gaussian steps within epsilon."""
    low, high = 0.1, 1.0
    while poisson_epsilon(high, sample_rate, steps, delta) > epsilon:
        low, high = high, 2 * high
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if poisson_epsilon(middle, sample_rate, steps, delta) > epsilon else (low, middle)
    return high


def _gaussian_delta(epsilon: float, mu: float) -> float:
    """delta(epsilon) of mu-GDP; the second term in logarithms, since e^epsilon alone overflows."""
    return float(ndtr(-epsilon / mu + mu / 2) - np.exp(epsilon + log_ndtr(-epsilon / mu - mu / 2)))
