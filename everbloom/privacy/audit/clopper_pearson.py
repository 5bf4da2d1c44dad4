"""A lower bound on epsilon from independent runs, without any assumption about the mechanism."""

import numpy as np

from everbloom.privacy.audit.thresholds import ErrorBounds, Floats, bound_errors


def epsilon_lower(without: Floats, with_canary: Floats, delta: float, alpha: float = 0.05) -> tuple[float, ErrorBounds]:
    """The mechanism is not (epsilon, delta)-DP for any epsilon below the returned one, at confidence 1 - alpha; and what that rests on.

    `without`, `with_canary` [runs] statistics of independent runs on neighbouring data sets. For every (epsilon, delta)-DP mechanism and test,
    TPR <= e^epsilon FPR + delta and 1 - FPR <= e^epsilon (1 - TPR) + delta (Kairouz, Oh and Viswanath, 2015), so
    epsilon >= max{ln((1 - FNR+ - delta) / FPR+), ln((1 - FPR+ - delta) / FNR+)} (Jagielski, Ullman and Oprea, 2020; Nasr et al., 2021). With n
    runs in the half that bounds it proves at most about ln(n / ln(2 / alpha)).
    """
    errors = bound_errors(without, with_canary, alpha, lambda fp, fn: epsilon_of_errors(fp, fn, delta))
    found = epsilon_of_errors(np.array(errors.false_positive), np.array(errors.false_negative), delta)
    return max(0.0, float(found)), errors


def epsilon_of_errors(false_positive: Floats, false_negative: Floats, delta: float) -> Floats:
    """The least epsilon that allows error rates as small as these; -inf where they prove nothing. Any one shape."""

    def form(one: Floats, other: Floats) -> Floats:
        power = 1 - other - delta
        return np.where(power > 0, np.log(np.maximum(power, 1e-300) / np.maximum(one, 1e-300)), -np.inf)

    return np.maximum(form(false_positive, false_negative), form(false_negative, false_positive))
