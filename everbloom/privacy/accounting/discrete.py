"""Sums of integers with a share of noise on each device: Renyi divergence of the sum, and epsilon from it.

Relation: one client's vector is replaced by zeros ("zero-out"); the client still takes part and adds its share. Only the shares that surely are in
the sum and that the adversary does not know are counted: whoever drops out, or colludes with the server, adds nothing. More shares than that only
help, since adding an independent number is post-processing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Law = Literal["skellam", "discrete-gaussian"]

ORDERS = (*range(2, 128), *(int(128 * 1.1**step) for step in range(60)))
"""Whole numbers, for which both theorems hold, up to 35,000: a large order decides where epsilon is small."""


@dataclass(frozen=True)
class DiscreteAggregate:
    """One round's sum over a cohort, in units of the integer grid."""

    law: Law
    l2_sensitivity: float
    """Largest Euclidean norm of one client's integers."""
    l1_sensitivity: float
    share_variance: float
    """Of one client's share of noise, per coordinate."""
    shares: int
    """Counted on: honest clients that did not drop out."""
    dimensions: int

    @property
    def variance(self) -> float:
        """Of the noise that is counted on, per coordinate of the sum."""
        return self.shares * self.share_variance


def discrete_rdp(aggregate: DiscreteAggregate, orders: tuple[int, ...] = ORDERS) -> NDArray[np.float64]:
    """[orders] upper bounds on the Renyi divergence of one round, both ways, at whole orders above 1."""
    alpha = np.array(orders, dtype=np.float64)
    if np.any(alpha <= 1) or np.any(alpha != np.floor(alpha)):
        raise ValueError(f"orders: {orders}; the bounds hold for whole numbers above 1")
    if aggregate.law == "skellam":
        return _skellam_rdp(aggregate.l2_sensitivity, aggregate.l1_sensitivity, aggregate.variance, alpha)
    return _gaussian_rdp(aggregate, alpha)


def _skellam_rdp(l2: float, l1: float, variance: float, alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """a D2^2 / (2 mu) + min{((2a - 1) D2^2 + 6 D1) / (4 mu^2), 3 D1 / (2 mu)}, mu being the variance (Agarwal, Kairouz and Liu, 2021, corollary 3.6).

    The first term is a Gaussian's. Exact in the number of shares, since Skellam numbers add up to Skellam numbers.
    """
    excess = np.minimum(((2 * alpha - 1) * l2**2 + 6 * l1) / (4 * variance**2), 3 * l1 / (2 * variance))
    return alpha * l2**2 / (2 * variance) + excess


def _gaussian_rdp(aggregate: DiscreteAggregate, alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least of three bounds (Kairouz, Liu and Steinke, 2021, proposition 14 and theorem 1), with s the noise's deviation:

    a/2 (D2/s)^2 + tau d, a/2 ((D2/s)^2 + 2 tau D1/s + tau^2 d) and a/2 (D2/s + tau sqrt(d))^2, where tau = 10 sum_{k=1}^{n-1} e^(-2 pi^2 v k/(k+1)),
    v a share's variance, is how far a sum of n discrete Gaussians is from one. It needs v >= 1/4: below, there is no bound, and infinity is returned.
    """
    if aggregate.share_variance < 0.25:
        return np.full(len(alpha), np.inf)
    shares = np.arange(1, aggregate.shares)
    tau = 10 * float(np.exp(-2 * math.pi**2 * aggregate.share_variance * shares / (shares + 1)).sum())
    deviation = math.sqrt(aggregate.variance)
    l2, l1, dimensions = (
        aggregate.l2_sensitivity / deviation,
        aggregate.l1_sensitivity / deviation,
        aggregate.dimensions,
    )
    squares = (l2**2 + 2 * tau * l1 + tau**2 * dimensions, (l2 + tau * math.sqrt(dimensions)) ** 2)
    return np.minimum(alpha / 2 * l2**2 + tau * dimensions, alpha / 2 * min(squares))


@lru_cache(maxsize=4096)
def discrete_epsilon(aggregate: DiscreteAggregate, participations: int, delta: float) -> float:
    """Epsilon at delta of a client that took part so often: the divergences add up, and are converted optimally (dp-accounting: Canonne, Kamath and
    Steinke, 2020, proposition 12). Not amplified by sampling: a server that picks the cohort knows who is in it."""
    if participations == 0:
        return 0.0
    if not 0 < delta < 1:
        raise ValueError(f"delta: {delta}; must be between 0 and 1")
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon  # slow to import, and a device may not need it

    epsilon, _ = compute_epsilon(ORDERS, participations * discrete_rdp(aggregate), delta)
    return float(epsilon)


def discrete_noise(
    aggregate: Callable[[float], DiscreteAggregate], participations: int, epsilon: float, delta: float
) -> float:
    """The least noise multiplier (to 0.01%, rounded up) whose `aggregate` keeps a client that takes part so often within epsilon.

    The integer grid, and with it the sensitivity, depends on the noise; so the aggregate is built anew for each multiplier tried.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon: {epsilon}; must be above 0")

    def spent(multiplier: float) -> float:
        return discrete_epsilon(aggregate(multiplier), participations, delta)

    high = 1.0
    while spent(high) > epsilon:
        high *= 2
    low = high / 2
    while spent(low) <= epsilon:
        low, high = low / 2, low
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spent(middle) > epsilon else (low, middle)
    return high
