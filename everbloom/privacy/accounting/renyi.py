"""Renyi differential privacy: what a mechanism costs at an order, how costs add, and what they are worth as (epsilon, delta) (Mironov, 2017).

D_a(P || Q) of order a > 1, in nats, for neighbours by adding or removing one. Composition adds values at one order. Looser than a privacy loss
distribution, but at an order that was fixed beforehand the sum is a valid filter, even where later mechanisms depend on earlier outputs.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from everbloom.errors import PrivacyError

Curve = tuple[float, ...]
"""[orders] Renyi divergences at `ORDERS`."""

ORDERS: tuple[float, ...] = (
    *(1 + tenth / 10 for tenth in range(1, 100)),
    *(float(order) for order in range(11, 65)),
    *(float(order) for order in (72, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512, 768, 1024)),
)
"""Small orders serve large epsilons, large ones small epsilons: the best for mu-GDP is near 1 + sqrt(2 ln(1/delta)) / mu."""


def gaussian_rdp(mu_squared: float, order: float) -> float:
    """a mu^2 / 2: a Gaussian mechanism of (sensitivity / deviation)^2 = mu_squared at order a (Mironov, 2017, proposition 7)."""
    return order * mu_squared / 2


@lru_cache(maxsize=65_536)
def poisson_rdp(noise_multiplier: float, sample_rate: float, order: float) -> float:
    """One Poisson-sampled Gaussian step at an order (Mironov, Talwar and Zhang, 2019, section 3.3; dp-accounting).

    Exact at whole orders. In between it is the smaller of two bounds: dp-accounting's series, which adds up absolute values and does not
    converge with little noise, and the chord between the whole orders beside it.
    """
    if sample_rate == 1:
        return gaussian_rdp(noise_multiplier**-2, order)
    # A third of a client's import time, and not needed without sampling.
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant([order], NeighboringRelation.ADD_OR_REMOVE_ONE)
    with _quiet():
        accountant.compose(PoissonSampledDpEvent(sample_rate, GaussianDpEvent(noise_multiplier)))
    found = max(0.0, float(accountant.rdp[0]))
    below, above = math.floor(order), math.ceil(order)
    if below == above:
        return found
    beside = [
        poisson_rdp(noise_multiplier, sample_rate, float(whole)) if whole > 1 else 0.0 for whole in (below, above)
    ]
    return min(found, rdp_between(order, (below, above), beside))


@lru_cache(maxsize=1024)
def poisson_curve(noise_multiplier: float, sample_rate: float) -> Curve:
    """[orders] one Poisson-sampled Gaussian step at `ORDERS`: computed once for a (noise, rate), however many devices and rounds ask."""
    return tuple(poisson_rdp(noise_multiplier, sample_rate, order) for order in ORDERS)


def gaussian_curve(mu_squared: float) -> Curve:
    """[orders] a Gaussian mechanism at `ORDERS`."""
    return tuple(gaussian_rdp(mu_squared, order) for order in ORDERS)


def compose(curves: Iterable[tuple[Curve, int]]) -> Curve:
    """[orders] the sum of (curve, how often): mechanisms fixed beforehand, one after another (Mironov, 2017, proposition 1)."""
    pairs = list(curves)
    return tuple(math.fsum(curve[place] * times for curve, times in pairs) for place in range(len(ORDERS)))


def epsilon_at(order: float, rdp: float, delta: float) -> float:
    """Epsilon at delta of (order, rdp)-RDP, in nats: rdp + ln(1 - 1/a) - ln(a delta) / (a - 1), never below 0.

    Canonne, Kamath and Steinke (2020), proposition 12; the same as Balle et al. (2020), theorem 21.
    """
    return max(0.0, rdp + _conversion(order, delta))


def rdp_within(order: float, epsilon: float, delta: float) -> float:
    """The largest rdp with `epsilon_at(order, rdp, delta) <= epsilon`; not positive where no release at all would be within it."""
    return epsilon - _conversion(order, delta)


def renyi_epsilon(curve: Curve, delta: float, orders: Sequence[float] = ORDERS) -> tuple[float, float]:
    """(epsilon, order): the smallest epsilon at delta over the orders. For mechanisms fixed beforehand alone: a filter may not choose its order."""
    return min((epsilon_at(order, rdp, delta), order) for order, rdp in zip(orders, curve, strict=True))


def rdp_between(order: float, orders: Sequence[float], values: Sequence[float]) -> float:
    """A bound at `order` from bounds at others: (a - 1) D_a is convex in a and 0 at a = 1, so a chord lies above it.

    Raises `PrivacyError` above the largest of the orders, where nothing is known.
    """
    below, above = (1.0, 0.0), None
    for known, value in sorted(zip(orders, values, strict=True)):
        if known == order:
            return value
        if known > order:
            above = (known, value)
            break
        below = (known, value)
    if above is None:
        raise PrivacyError(f"Renyi cost: nothing is known at order {order:g}, the largest known is {max(orders):g}")
    share = (order - below[0]) / (above[0] - below[0])
    return ((1 - share) * (below[0] - 1) * below[1] + share * (above[0] - 1) * above[1]) / (order - 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without dp-accounting's warning about a series that does not converge, which is provided for."""
    logger = logging.getLogger("absl")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _conversion(order: float, delta: float) -> float:
    """What the conversion adds to the divergence."""
    return math.log1p(-1 / order) - math.log(order * delta) / (order - 1)
