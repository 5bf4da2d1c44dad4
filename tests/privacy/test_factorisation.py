"""Banded factorisation: what a user can move, how large the noise is, and that it errs less than independent noise."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from scipy.optimize import approx_fprime, minimize_scalar

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.factorisation import (
    CorrelatedNoise,
    Factorisation,
    _impulse,
    _log_error,
    _weights,
    choose_factorisation,
    error,
    most_participations,
    possible_separation,
    sensitivity,
    toeplitz_strategy,
)
from everbloom.seeding import numpy_generator

PARAMETERS = 20_000


def matrix(rounds: int, coefficients: np.ndarray) -> np.ndarray:
    """C [rounds, rounds], written out."""
    column = np.zeros(rounds)
    column[: len(coefficients)] = coefficients
    return np.tril(toeplitz(column))


def patterns(rounds: int, separation: int, limit: int) -> list[tuple[int, ...]]:
    """All ways to take part, rounds from 0."""
    found = []
    for count in range(1, limit + 1):
        for chosen in itertools.combinations(range(rounds), count):
            if all(later - earlier >= separation for earlier, later in itertools.pairwise(chosen)):
                found.append(chosen)
    return found


def drawn(scale: float = 1.0, parameters: int = PARAMETERS, purpose: str = "noise"):
    """z_t of a standard deviation, the same whenever it is asked again."""
    return lambda t: numpy_generator(7, purpose, round=t).normal(0.0, scale, parameters).astype(np.float32)


def stream(coefficients: np.ndarray, rounds: int, draw) -> np.ndarray:
    """[rounds, parameters]."""
    noise = CorrelatedNoise(coefficients, len(draw(0)), draw)
    return np.stack([noise.next() for _ in range(rounds)])


@pytest.mark.parametrize(("rounds", "bands"), [(1, 1), (9, 1), (9, 4), (12, 12), (60, 8)])
def test_columns_have_unit_norm_and_those_of_one_user_are_orthogonal(rounds, bands):
    strategy = matrix(rounds, toeplitz_strategy(rounds, bands))
    norms = np.linalg.norm(strategy, axis=0)
    assert norms.max() == pytest.approx(1.0, abs=1e-12)
    assert norms[: rounds - bands + 1] == pytest.approx(1.0, abs=1e-12)
    gram = strategy.T @ strategy
    assert (np.abs(np.subtract.outer(np.arange(rounds), np.arange(rounds))) >= bands)[gram == 0].all()
    for apart in range(bands, rounds):
        assert (np.diagonal(gram, apart) == 0).all()


@pytest.mark.parametrize(
    ("rounds", "bands", "separation", "limit"), [(9, 3, 3, 9), (10, 3, 4, 9), (8, 2, 2, 2), (8, 1, 1, 8)]
)
def test_no_pattern_of_participation_moves_more_than_the_sensitivity(rounds, bands, separation, limit):
    """Contributions of unit norm in any direction: aligned, opposed, and random ones in five dimensions."""
    coefficients = toeplitz_strategy(rounds, bands)
    strategy = matrix(rounds, coefficients)
    claimed = sensitivity(coefficients, most_participations(rounds, separation, limit))
    generator = np.random.default_rng(0)
    largest = 0.0
    for chosen in patterns(rounds, separation, limit):
        for signs in itertools.product((-1.0, 1.0), repeat=len(chosen)):
            largest = max(largest, np.linalg.norm(strategy[:, chosen] @ np.array(signs)))
        directions = generator.normal(size=(len(chosen), 5))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        assert np.linalg.norm(strategy[:, chosen] @ directions) <= claimed + 1e-12
    assert largest <= claimed + 1e-12
    if rounds % separation == 0 or limit < rounds / separation:
        assert largest == pytest.approx(claimed, abs=1e-12)  # and not a loose bound
    else:
        assert largest > 0.95 * claimed


def test_taking_part_too_early_would_break_it():
    """Why fewer rounds between participations than bands are refused: the true sensitivity is larger."""
    rounds, bands = 9, 3
    coefficients = toeplitz_strategy(rounds, bands)
    strategy = matrix(rounds, coefficients)
    early = max(np.linalg.norm(strategy[:, chosen].sum(1)) for chosen in patterns(rounds, bands - 1, 3))
    assert early > 1.1 * sensitivity(coefficients, 3)
    with pytest.raises(
        PrivacyError, match=r"bands: 3, but a user may take part again after 2 round\(s\).*expected 1 to 2"
    ):
        Factorisation(rounds, coefficients, separation=2, participations=3)


def test_unit_rows_would_understate_what_a_user_moves():
    """The mistake of another simulator, T = 96 and b = 48: the reverse of C has unit rows where C has unit columns."""
    coefficients = toeplitz_strategy(96, 48)
    by_rows = matrix(96, coefficients)
    by_rows /= np.linalg.norm(by_rows, axis=1, keepdims=True)
    assert np.linalg.norm(by_rows[:, [0, 48]]) > 1.15 * sensitivity(coefficients, 2)


def test_whole_run():
    """k participations of a Gaussian mechanism with noise multiplier z are sqrt(k)/z-GDP; bands do not change that."""
    for bands in (1, 10):
        chosen = Factorisation(100, toeplitz_strategy(100, bands), separation=20, participations=5)
        assert chosen.mu(2.0) == pytest.approx(math.sqrt(5) / 2)
        assert chosen.noise_multiplier(chosen.mu(2.0)) == pytest.approx(2.0)
        assert gaussian_epsilon(chosen.mu(2.0), 1e-5) == pytest.approx(gaussian_epsilon(math.sqrt(5) / 2, 1e-5))


@pytest.mark.parametrize("bands", [1, 2, 5, 12])
def test_c_times_the_stream_is_what_was_drawn(bands):
    coefficients = toeplitz_strategy(12, bands)
    noise = stream(coefficients, 12, drawn(parameters=50))
    expected = np.stack([drawn(parameters=50)(t) for t in range(12)])
    assert matrix(12, coefficients) @ noise == pytest.approx(expected, abs=1e-12)
    if bands == 1:
        assert (noise == expected).all()  # the Gaussian mechanism, untouched


def test_the_covariance_is_the_factorisation_s():
    """Over coordinates, against (C^T C)^-1: each entry within five standard errors."""
    coefficients = toeplitz_strategy(10, 4)
    strategy = matrix(10, coefficients)
    expected = np.linalg.inv(strategy.T @ strategy)
    noise = stream(coefficients, 10, drawn())
    spread = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / PARAMETERS)
    assert (np.abs(noise @ noise.T / PARAMETERS - expected) < 5 * spread).all()
    assert expected[0, 1] < -0.3  # what a round adds, the next takes back in part


def looks_like(noise: np.ndarray, coefficients: np.ndarray, deviation: float) -> bool:
    """Whether noise [rounds, parameters] whitened by C has this standard deviation, as for DP-SGD, and no correlation between rounds is left in it.

    Both at four standard errors. The second is needed: since C has unit columns, independent noise passes the first.
    """
    whitened = matrix(len(noise), coefficients) @ noise / deviation
    size = abs((whitened**2).sum() - whitened.size) < 4 * math.sqrt(2 * whitened.size)
    left = (whitened[1:] * whitened[:-1]).sum()
    return bool(size and abs(left) < 4 * math.sqrt(whitened[1:].size))


@pytest.mark.parametrize(("bands", "deviation"), [(1, 1.0), (6, 0.4), (30, 3.0)])
def test_the_noise_is_as_large_as_claimed(bands, deviation):
    """The right scale is accepted; two thirds and three halves of it are rejected, and so is noise without the correlation."""
    coefficients = toeplitz_strategy(30, bands)
    draw = drawn(deviation, parameters=500)
    noise = stream(coefficients, 30, draw)
    assert looks_like(noise, coefficients, deviation)
    assert not looks_like(2 / 3 * noise, coefficients, deviation)
    assert not looks_like(3 / 2 * noise, coefficients, deviation)
    if bands > 1:
        assert not looks_like(stream(np.ones(1), 30, draw), coefficients, deviation)


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
@pytest.mark.parametrize("at", [0, 1, 3, 9])
def test_a_resumed_stream_equals_an_uninterrupted_one(bands, at):
    coefficients, draw = toeplitz_strategy(20, bands), drawn(parameters=30)
    whole = stream(coefficients, 20, draw)
    first = CorrelatedNoise(coefficients, 30, draw)
    for _ in range(at):
        first.next()
    state = first.state()
    assert state.shape == (bands - 1, 30)
    first.next()  # the state is a copy: what comes later does not change it
    second = CorrelatedNoise(coefficients, 30, draw)
    second.restore(at, state)
    assert (second.state() == state).all()
    assert (np.stack([second.next() for _ in range(20 - at)]) == whole[at:]).all()


def test_a_stream_refuses_what_does_not_fit():
    noise = CorrelatedNoise(toeplitz_strategy(20, 3), 4, drawn(parameters=5))
    with pytest.raises(ValueError, match=r"draw\(0\): shape \(5,\), expected \(4,\)"):
        noise.next()
    with pytest.raises(ValueError, match=r"state: shape \(1, 4\), expected \(2, 4\)"):
        noise.restore(3, np.zeros((1, 4)))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["rmse", "max"]))
def test_error_is_that_of_the_matrices(rounds, bands, measure):
    coefficients = toeplitz_strategy(rounds, min(bands, rounds), measure)
    sums = np.tril(np.ones((rounds, rounds))) @ np.linalg.inv(matrix(rounds, coefficients))
    squares = (sums**2).sum(1)
    expected = math.sqrt(squares.mean() if measure == "rmse" else squares.max())
    assert error(rounds, coefficients, measure) == pytest.approx(expected, rel=1e-9)
    assert error(rounds, 3 * coefficients, measure) == pytest.approx(expected, rel=1e-9)  # scale does not matter


def test_the_error_measured_is_the_error_predicted():
    coefficients = toeplitz_strategy(40, 8)
    sums = np.cumsum(stream(coefficients, 40, drawn(parameters=5000)), axis=0)
    assert math.sqrt((sums**2).mean()) == pytest.approx(error(40, coefficients), rel=0.02)


def test_two_rounds_by_hand():
    """C = [[1, 0], [a, 1]]: squared error (1 + a^2) (2 + (1 - a)^2) / 2."""
    best = minimize_scalar(lambda a: (1 + a**2) * (2 + (1 - a) ** 2) / 2, bounds=(0, 1), method="bounded")
    found = toeplitz_strategy(2, 2)
    assert found[1] / found[0] == pytest.approx(best.x, abs=1e-4)
    assert error(2, found) == pytest.approx(math.sqrt(best.fun), rel=1e-9)


@pytest.mark.parametrize("measure", ["rmse", "max"])
def test_the_gradient(measure):
    tail = np.array([0.4, 0.3, -0.1, 0.2])
    arguments = (_impulse(15), _weights(15, measure))
    numeric = approx_fprime(tail, lambda at: _log_error(at, *arguments)[0], 1e-7)
    assert _log_error(tail, *arguments)[1] == pytest.approx(numeric, abs=1e-5)


@pytest.mark.parametrize("rounds", [10, 100, 500])
def test_all_bands_come_near_what_no_factorisation_can_beat(rounds):
    """RMSE x largest column norm >= (nuclear norm of A) / T for every factorisation, by Hoelder; Toeplitz ones stay a few per cent above it."""
    bound = np.linalg.norm(np.tril(np.ones((rounds, rounds))), "nuc") / rounds
    assert bound <= error(rounds, toeplitz_strategy(rounds, rounds)) < 1.08 * bound


def test_all_bands_beat_the_square_root_factorisation():
    """c(x) = (1 - x)^(-1/2): largest error times column norm is the sum of squared coefficients (Fichtenberger et al., 2023); the optimum is a little
    better, and no factorisation is better than pi^-1 ln T (Matousek et al., 2020).
    """
    steps = np.arange(1, 1000)
    root = np.concatenate([[1.0], np.cumprod((2 * steps - 1) / (2 * steps))])
    assert error(1000, root, "max") == pytest.approx(float(root @ root), rel=1e-9)
    best = error(1000, toeplitz_strategy(1000, 1000, "max"), "max")
    assert math.log(1000) / math.pi < best <= error(1000, root, "max")


@pytest.mark.parametrize("measure", ["rmse", "max"])
def test_more_bands_err_less_at_the_same_participations(measure):
    errors = [error(2000, toeplitz_strategy(2000, bands, measure), measure) for bands in (1, 2, 4, 8, 16, 32, 64)]
    assert errors == sorted(errors, reverse=True)
    independent = math.sqrt(2001 / 2) if measure == "rmse" else math.sqrt(2000)
    assert errors[0] == pytest.approx(independent)
    assert errors[-1] < errors[0] / 4.5


def test_the_strategy_is_shared_and_cannot_be_changed():
    strategy = toeplitz_strategy(50, 5)
    assert toeplitz_strategy(50, 5) is strategy
    with pytest.raises(ValueError, match="read-only"):
        strategy[0] = 2.0
    toeplitz_strategy.cache_clear()
    assert (toeplitz_strategy(50, 5) == strategy).all()


def test_choosing():
    """100 rounds, 60 of 1,200 people in each: everybody takes part every 20 rounds, five times."""
    separation = possible_separation(1200, 60)
    chosen = choose_factorisation(100, separation)
    assert (chosen.separation, chosen.participations) == (20, 5)
    all_bands = Factorisation(100, toeplitz_strategy(100, 20), 20, 5)
    assert all_bands.error() <= chosen.error() <= 1.01 * all_bands.error()
    fewer = Factorisation(100, toeplitz_strategy(100, chosen.bands - 1), 20, 5)
    assert fewer.error() > 1.01 * all_bands.error()
    assert chosen.error() < 0.4 * Factorisation(100, toeplitz_strategy(100, 1), 20, 5).error()
    # Participations follow from the separation, not from the bands; a limit can only lower them.
    assert choose_factorisation(100, separation, max_bands=4).participations == 5
    assert choose_factorisation(100, separation, max_participations=2).participations == 2
    assert choose_factorisation(100, 1).bands == 1
    assert choose_factorisation(7, 1000).participations == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: toeplitz_strategy(5, 6), "bands: 6; expected 1 to the number of rounds, 5"),
        (lambda: toeplitz_strategy(5, 0), "bands: 0; expected 1 to the number of rounds, 5"),
        (lambda: most_participations(10, 0), "separation 0"),
        (lambda: most_participations(10, 2, 0), "max_participations 0"),
        (lambda: possible_separation(10, 11), "cohort: 11; expected 1 to the population of 10"),
    ],
)
def test_refusals(make, told):
    with pytest.raises(PrivacyError, match=told):
        make()
