"""What one message of a Poisson-sampled Gaussian mechanism says about the canary."""

import math

import numpy as np

from everbloom.privacy.audit.thresholds import Floats


def privacy_loss(seen: Floats, noise_multiplier: float, sample_rate: float) -> Floats:
    """ln of N(x; 0, s^2) q-mixed with N(x; 1, s^2) over N(x; 0, s^2), of what was seen along the canary [any shape], in clip norms.

    ln(1 - q + q e^((2 x - 1) / (2 s^2))): its sum over messages is the most powerful statistic there is (Neyman and Pearson), where the plain sum
    of x is for q = 1 only.
    """
    with_it = (2 * seen - 1) / (2 * noise_multiplier**2)
    if sample_rate == 1:
        return with_it
    return np.logaddexp(math.log1p(-sample_rate), math.log(sample_rate) + with_it)
