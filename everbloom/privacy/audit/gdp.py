"""A lower bound on epsilon from a Gaussian mechanism's runs: far tighter than without that assumption, since one threshold tells of all others."""

import math

import numpy as np
from scipy.special import ndtri

from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.audit.thresholds import ErrorBounds, Floats, bound_errors


def epsilon_lower(without: Floats, with_canary: Floats, delta: float, alpha: float = 0.05) -> tuple[float, ErrorBounds]:
    """Under a claim of mu-GDP: that mu, hence epsilon at `delta`, is at least so large, at confidence 1 - alpha; and what that rests on.

    `without`, `with_canary` [runs] statistics of independent runs on neighbouring data sets. mu-GDP says Phi^-1(1 - FPR) - Phi^-1(FNR) <= mu for
    every test (Dong, Roth and Su, 2022, section 2; as an audit: Nasr et al., 2023, arXiv 2302.07956). It refutes a claim of Gaussian DP with
    mu(epsilon, delta). Of a mechanism whose claim is not Gaussian (Poisson sampling), it refutes nothing.
    """
    errors = bound_errors(without, with_canary, alpha, mu_of_errors)
    return gaussian_epsilon(max(0.0, float(_mu(errors))), delta), errors


def mu_of_errors(false_positive: Floats, false_negative: Floats) -> Floats:
    """The least mu that allows error rates as small as these; may be negative. Any one shape."""
    tiny = 1e-15
    return ndtri(1 - np.clip(false_positive, tiny, 1 - tiny)) - ndtri(np.clip(false_negative, tiny, 1 - tiny))  # type: ignore[no-any-return]


def mu_from_moments(without: Floats, with_canary: Floats) -> float:
    """An estimate of mu, not a bound: distance of the means over the standard deviation (Andrew et al., 2023, arXiv 2302.03098, who estimate epsilon
    from canaries' cosines in this way)."""
    spread = math.sqrt((float(np.var(without, ddof=1)) + float(np.var(with_canary, ddof=1))) / 2)
    return (float(np.mean(with_canary)) - float(np.mean(without))) / max(spread, 1e-12)


def _mu(errors: ErrorBounds) -> Floats:
    return mu_of_errors(np.array(errors.false_positive), np.array(errors.false_negative))
