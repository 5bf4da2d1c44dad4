"""Poisson-sampled Gaussian mechanisms: privacy loss distributions (dp-accounting)."""

from functools import lru_cache


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
