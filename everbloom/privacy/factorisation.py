"""Noise that cancels between rounds: banded Toeplitz matrix factorisation, for guarantees that assume nothing about who is sampled.

Independent noise piles up in a model that adds up all rounds' updates. DP-FTRL releases round t's clipped sum g_t plus x_t, where C x = z with z
independent and C a public lower-triangular matrix, so that what x_t adds is partly taken back by x_{t+1}, x_{t+2}, ... (Denisov et al., 2022).
That is post-processing of the Gaussian mechanism C g + z. C has `bands` diagonals: a user who never takes part twice within `bands` rounds touches
columns of C with disjoint support, so k participations move C g by at most sqrt(k) times the largest column norm (Choquette-Choo et al., 2023,
arXiv 2306.08153), whatever the server knows of the cohorts. C is Toeplitz, hence `bands` coefficients optimised by gradients (McKenna, 2024).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import PrivacyError

Coefficients = NDArray[np.float64]
Measure = Literal["rmse", "max"]
"""Of the errors of the sums over rounds 1..t, t = 1..rounds: their root mean square, or the largest."""


@dataclass(frozen=True, eq=False)
class Factorisation:
    """Strategy and participation bound together, so that they cannot disagree.

    Formal guarantee: if each user takes part in at most `participations` rounds, any two of them at least `separation` rounds apart, and every
    contribution has norm at most `clip_norm`, then all of g_t + x_t together, with z_t of standard deviation `noise_multiplier * clip_norm`, are
    mu-GDP with `mu(noise_multiplier)`, with respect to adding or removing one user, who may choose contributions adaptively (Denisov et al., theorem
    2.1) but not the rounds. The server must enforce both bounds by whom it asks, not by who answers.
    """

    rounds: int
    coefficients: Coefficients
    """[bands] c_0..c_{bands-1}, with unit norm."""
    separation: int
    participations: int

    def __post_init__(self) -> None:
        if not 1 <= self.bands <= self.separation:
            raise PrivacyError(
                f"bands: {self.bands}, but a user may take part again after {self.separation} round(s), where columns that overlap "
                f"would add up; expected 1 to {self.separation}"
            )

    @property
    def bands(self) -> int:
        """Diagonals of C; 1 is the Gaussian mechanism with independent noise."""
        return len(self.coefficients)

    @property
    def sensitivity(self) -> float:
        """Of C g, in clip norms."""
        return sensitivity(self.coefficients, self.participations)

    def mu(self, noise_multiplier: float) -> float:
        """mu-GDP of the whole run; `accounting.gaussian.gaussian_epsilon` turns it into epsilon."""
        return self.sensitivity / noise_multiplier

    def noise_multiplier(self, mu: float) -> float:
        """The noise multiplier under which the whole run is mu-GDP."""
        return self.sensitivity / mu

    def error(self, measure: Measure = "rmse") -> float:
        """Error of the prefix sums at mu = 1, in clip norms and per coordinate: what to compare between bands, separations and mechanisms."""
        return self.sensitivity * error(self.rounds, self.coefficients, measure)


def choose_factorisation(
    rounds: int, separation: int, max_participations: int | None = None, max_bands: int = 64, slack: float = 0.01
) -> Factorisation:
    """The factorisation with the fewest bands whose error is within `slack` of that of the most bands allowed.

    Participations follow from the separation that is enforced, not from the bands, and more bands never hurt: only memory, bands x parameters,
    speaks against them. Hence enforce the largest separation that the population allows (`possible_separation`).
    """
    participations = most_participations(rounds, separation, max_participations)
    most = min(rounds, separation, max_bands)
    goal = (1 + slack) * error(rounds, toeplitz_strategy(rounds, most))
    fewest, bands = 1, most
    while fewest < bands:  # the error falls with bands
        middle = (fewest + bands) // 2
        if error(rounds, toeplitz_strategy(rounds, middle)) <= goal:
            bands = middle
        else:
            fewest = middle + 1
    return Factorisation(rounds, toeplitz_strategy(rounds, bands), separation, participations)


def possible_separation(population: int, cohort: int) -> int:
    """The largest separation at which every round finds a full cohort: users in turn, everybody once before anybody again."""
    if not 1 <= cohort <= population:
        raise PrivacyError(f"cohort: {cohort}; expected 1 to the population of {population}")
    return population // cohort


def most_participations(rounds: int, separation: int, limit: int | None = None) -> int:
    """k = ceil(rounds / separation), or `limit` if that is less."""
    if rounds < 1 or separation < 1 or (limit is not None and limit < 1):
        raise PrivacyError(f"rounds {rounds}, separation {separation}, max_participations {limit}: expected 1 or more")
    most = -(-rounds // separation)
    return most if limit is None else min(most, limit)


def sensitivity(coefficients: Coefficients, participations: int) -> float:
    """sqrt(k) times the largest column norm of C, in clip norms, where participations are at least `len(coefficients)` rounds apart.

    Columns, not rows: a user's contribution in round t meets column t (unit rows would understate it). The first column is the longest.
    """
    return math.sqrt(participations) * float(np.linalg.norm(coefficients))


def error(rounds: int, coefficients: Coefficients, measure: Measure = "rmse") -> float:
    """Error of a coordinate's prefix sums, A x with A all ones on and below the diagonal, for z of unit variance.

    A C^-1 is Toeplitz with g_t = sum of h_0..h_t, h the series of 1 / c(x): mean square sum_t (T - t) g_t^2 / T, largest square sum_t g_t^2.
    Per unit column norm; times sqrt(k) it is the error at mu = 1.
    """
    summed = np.cumsum(_inverse(coefficients, _impulse(rounds)))
    return math.sqrt(float(_weights(rounds, measure) @ summed**2)) * float(np.linalg.norm(coefficients))


@lru_cache(maxsize=256)
def toeplitz_strategy(rounds: int, bands: int, measure: Measure = "rmse") -> Coefficients:
    """[bands] float64, read-only: the coefficients c_0..c_{bands-1} of unit norm that minimise `error`. Deterministic.

    Starts from the best strategy without bands up to a constant, c(x) = (1 - x)^(-1/2) (Fichtenberger et al., 2023), cut off.
    """
    if not 1 <= bands <= rounds:
        raise PrivacyError(f"bands: {bands}; expected 1 to the number of rounds, {rounds}")
    found = np.ones(1)
    if bands > 1:
        # Imported where it is needed: a device, which never calls this, would pay for it with every message.
        from scipy.optimize import minimize

        steps = np.arange(1, bands)
        start = np.cumprod((2 * steps - 1) / (2 * steps))
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 30}
        arguments = (_impulse(rounds), _weights(rounds, measure))
        best = minimize(_log_error, start, arguments, jac=True, method="L-BFGS-B", options=options)
        found = np.concatenate([[1.0], np.asarray(best.x, dtype=np.float64)])
    found /= np.linalg.norm(found)
    found.flags.writeable = False
    return found


class CorrelatedNoise:
    """The stream x_1, x_2, ... with C x = z, each [parameters] float64: x_t = (z_t - sum_j c_j x_{t-j}) / c_0.

    `draw(t)`, t from 0, gives z_t [parameters], independent of everything else and the same whenever it is asked again: then a stream continues from
    `state`, or is replayed from the start, with the same numbers. Holds the last bands - 1 rounds' noise.
    """

    def __init__(
        self, coefficients: Coefficients, parameters: int, draw: Callable[[int], NDArray[np.floating]]
    ) -> None:
        self.coefficients = coefficients
        self.draw = draw
        self.round = 0
        """t of the next x_t."""
        self._last = np.zeros((len(coefficients) - 1, parameters))
        """x_t lies in row t modulo the number of rows."""

    def next(self) -> NDArray[np.float64]:
        """[parameters] the next round's noise."""
        fresh = np.asarray(self.draw(self.round), dtype=np.float64)
        if fresh.shape != self._last.shape[1:]:
            raise ValueError(f"draw({self.round}): shape {fresh.shape}, expected {self._last.shape[1:]}")
        kept = len(self._last)
        if kept:
            fresh = fresh - self.coefficients[1 + (self.round - 1 - np.arange(kept)) % kept] @ self._last
        noise: NDArray[np.float64] = fresh / self.coefficients[0]
        if kept:
            self._last[self.round % kept] = noise
        self.round += 1
        return noise

    def state(self) -> NDArray[np.float64]:
        """[bands - 1, parameters] the noise of past rounds, the latest first; with `round`, all that `restore` needs."""
        kept = len(self._last)
        return self._last[(self.round - 1 - np.arange(kept)) % kept] if kept else self._last.copy()

    def restore(self, round: int, state: NDArray[np.float64]) -> None:
        """Continues before `round` from what `state()` gave there. Raises `ValueError` on another shape."""
        if state.shape != self._last.shape:
            raise ValueError(f"state: shape {state.shape}, expected {self._last.shape}: another strategy or model")
        kept = len(self._last)
        if kept:
            self._last[(round - 1 - np.arange(kept)) % kept] = state
        self.round = round


def _log_error(
    tail: NDArray[np.float64], impulse: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Logarithm of the squared `error` of coefficients (1, tail), and its gradient by `tail`: scale-free, so no constraint is needed.

    With S = sum_t w_t g_t^2 and g(x) = 1 / ((1 - x) c(x)): dg/dc_j = -x^j g(x) / c(x).
    """
    coefficients = np.concatenate([[1.0], tail])
    with np.errstate(over="ignore", invalid="ignore"):
        summed = np.cumsum(_inverse(coefficients, impulse))
        weighted = weights * summed
        square = float(weighted @ summed)
        if not math.isfinite(square):
            # A trial step too far, where 1 / c(x) explodes: the line search takes a shorter one.
            return 1e6, np.zeros_like(tail)
        derived = _inverse(coefficients, summed)
    rounds, norm = len(impulse), float(coefficients @ coefficients)
    slopes = np.array([weighted[lag:] @ derived[: rounds - lag] for lag in range(1, len(coefficients))])
    return math.log(norm) + math.log(square), 2 * tail / norm - 2 * slopes / square


def _inverse(coefficients: Coefficients, series: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rounds] series / c(x), truncated."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], coefficients, series), dtype=np.float64)


def _impulse(rounds: int) -> NDArray[np.float64]:
    impulse = np.zeros(rounds)
    impulse[0] = 1.0
    return impulse


def _weights(rounds: int, measure: Measure) -> NDArray[np.float64]:
    """[rounds] of g_t^2 in the squared error."""
    return np.arange(rounds, 0, -1) / rounds if measure == "rmse" else np.ones(rounds)
