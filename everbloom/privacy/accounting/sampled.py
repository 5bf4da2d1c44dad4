"""Poisson-sampled Gaussian mechanisms: privacy loss distributions (dp-accounting)."""

import math
from functools import lru_cache

from everbloom.privacy.accounting.gaussian import gaussian_mu

_COARSE_GRID = 1e-3
"""Nats: an interval that serves every step whose privacy loss spreads wider than ten times this."""

_STEP_POINTS, _TOTAL_POINTS = 5e4, 2e6
"""At most so many grid points for one step, and for all of them together: what keeps a call within about a second."""


@lru_cache(maxsize=4096)
def poisson_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """Epsilon at delta of `steps` Poisson-sampled Gaussian steps, add/remove one, in nats.

    Privacy loss distributions by "connect the dots" (Doroshenko et al., 2022): an upper bound, above the exact value by about 0.1% at most.
    """
    if steps == 0:
        return 0.0
    # A third of a client's import time, which on a SuperNode is spent for every message, and not needed without sampling.
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    grid = _interval(noise_multiplier, sample_rate, steps)
    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=grid)
    step = PoissonSampledDpEvent(sample_rate, GaussianDpEvent(noise_multiplier))
    accountant.compose(SelfComposedDpEvent(step, steps))
    return float(accountant.get_epsilon(delta))


@lru_cache(maxsize=1024)
def poisson_noise(epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """The smallest noise multiplier (to 0.1%, rounded up) that keeps `steps` Poisson-sampled Gaussian steps within epsilon.

    From the central limit's guess, by secants on logarithms: about six privacy loss distributions.
    """
    low = high = _central_limit_noise(epsilon, sample_rate, steps, delta)
    over = under = 0.0  # ln(epsilon found / epsilon wanted) at `low`, positive, and at `high`, not positive
    while (found := _log_ratio(high, epsilon, sample_rate, steps, delta)) > 0:
        low, over, high = high, found, high * 1.15
    under = found
    while over == 0.0:
        low /= 1.15
        found = _log_ratio(low, epsilon, sample_rate, steps, delta)
        if found > 0:
            over = found
        else:
            high, under = low, found
    while high / low > 1.001:
        # Aimed a little to the side on which more width is left, so that both ends close in; never nearer to an end than a tenth.
        share = over / (over - under) if math.isfinite(under) else 0.5
        share += 0.0003 / math.log(high / low) * (1 if share < 0.5 else -1)
        middle = low * (high / low) ** min(0.9, max(0.1, share))
        found = _log_ratio(middle, epsilon, sample_rate, steps, delta)
        if found > 0:
            low, over = middle, found
        else:
            high, under = middle, found
    return high


def _log_ratio(noise_multiplier: float, epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    found = poisson_epsilon(noise_multiplier, sample_rate, steps, delta)
    return math.log(found / epsilon) if found > 0 else -math.inf


def _central_limit_noise(epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """s at which mu = q sqrt(T (e^(1/s^2) - 1)) is the budget's (Bu, Dong, Long and Su, 2020): a first guess, somewhat too little noise."""
    spread = gaussian_mu(epsilon, delta) / (sample_rate * math.sqrt(steps))
    return 1 / math.sqrt(math.log1p(spread**2))


def _interval(noise_multiplier: float, sample_rate: float, steps: int) -> float:
    """Nats between the grid's points: a tenth of the standard deviation of one step's privacy loss, up to `_COARSE_GRID`.

    Connecting the dots of a grid h gives every step's loss about h^2 / 12 more variance, so epsilon grows by a share of about (h / deviation)^2 / 12.
    Losses that reach far beyond their deviation need a coarser grid to be computable; their tail decides epsilon then, and h is small beside that.
    """
    chi_square = math.expm1(min(noise_multiplier**-2, 600.0))
    deviation = sample_rate * math.sqrt(chi_square)
    farthest = math.log1p(sample_rate * math.expm1(min((10 * noise_multiplier + 0.5) / noise_multiplier**2, 600.0)))
    together = steps * math.log1p(sample_rate**2 * chi_square) + 20 * math.sqrt(steps) * min(deviation, farthest)
    coarse = max(farthest / _STEP_POINTS, min(steps * farthest, together) / _TOTAL_POINTS)
    return max(min(_COARSE_GRID, deviation / 10), coarse)
