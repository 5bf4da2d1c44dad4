"""Do the integer samplers draw from their laws? Chi-square against exact probabilities, with the power to notice a wrong size."""

import math
from bisect import bisect_right
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.special import ive
from scipy.stats import chi2_contingency, chisquare, poisson, skellam

from everbloom.errors import PrivacyError
from everbloom.privacy.discrete.samplers import LARGEST_DEVIATION, _table, draw
from everbloom.privacy.noise import CryptographicNoise, NoiseSource, SeededNoise

COUNT = 200_000
LAWS = ("skellam", "discrete-gaussian")


def source(label: str = "") -> NoiseSource:
    return CryptographicNoise(bytes(32), label.encode())


def probabilities(law: str, variance: float, reach: int) -> np.ndarray:
    """[2 reach + 1] of -reach..reach, by another road than the sampler's."""
    places = np.arange(-reach, reach + 1)
    if law == "skellam":
        return np.asarray(ive(np.abs(places), variance))
    weights = np.exp(-(places**2) / (2 * variance))
    return weights / weights.sum()


def fits(draws: np.ndarray, law: str, variance: float) -> bool:
    """A chi-square test at 1e-4 of draws against the law; bins with fewer than ten expected are put together."""
    reach = max(5, math.ceil(8 * math.sqrt(variance)))
    expected = probabilities(law, variance, reach) * len(draws)
    observed = np.bincount(np.clip(draws, -reach, reach) + reach, minlength=2 * reach + 1)
    common = expected >= 10
    both = [np.append(each[common], each[~common].sum()) for each in (observed, expected)]
    if both[1][-1] < 1:
        both = [each[:-1] for each in both]
    if len(both[0]) < 2:
        return True
    return bool(chisquare(both[0], both[1] * both[0].sum() / both[1].sum()).pvalue > 1e-4)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("variance", [0.3, 1.0, 7.3, 250.0, 45.2**2, 1000.0**2])
def test_draws_fit_the_law_and_no_other(law, variance):
    assert fits(draw(law, variance, (COUNT,), source()), law, variance)
    for wrong in (2 / 3, 3 / 2):
        assert not fits(draw(law, variance * wrong**2, (COUNT,), source()), law, variance)


def test_the_two_laws_are_told_apart_where_they_differ():
    assert not fits(draw("skellam", 1.0, (COUNT,), source()), "discrete-gaussian", 1.0)
    assert not fits(draw("discrete-gaussian", 1.0, (COUNT,), source()), "skellam", 1.0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("variance", [0.5, 20.0, 300.0**2, LARGEST_DEVIATION**2])
def test_moments(law, variance):
    draws = draw(law, variance, (COUNT,), source()).astype(float)
    if law == "skellam":
        second, fourth = variance, 3 * variance**2 + variance
    else:
        reach = math.ceil(12 * math.sqrt(variance))
        places, weights = np.arange(-reach, reach + 1.0), probabilities(law, variance, reach)
        second, fourth = float(weights @ places**2), float(weights @ places**4)
    assert abs(draws.mean()) < 4 * math.sqrt(second / COUNT)
    assert abs((draws**2).mean() - second) < 4 * math.sqrt((fourth - second**2) / COUNT)
    assert (draws**4).mean() == pytest.approx(fourth, rel=0.1 if variance > 1 else 0.2)
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("variance", [1e-3, 0.25, 1.0, 40.0, 250.0**2, 4000.0**2])
def test_the_table_is_the_law(law, variance):
    """Each probability against scipy's or the formula, to 1e-12 of the largest and to 1e-9 of itself until 1e-30."""
    table = _table(law, variance)
    cumulative = [int(upper) << 64 | int(lower) for upper, lower in zip(table.upper, table.lower, strict=True)]
    found = np.diff([0, *(float(Fraction(each, 2**128)) for each in cumulative)])
    tails = [
        float(Fraction(later - earlier, 2**128)) for earlier, later in zip([0, *cumulative], cumulative, strict=False)
    ]
    expected = probabilities(law, variance, len(tails))[len(tails) :]
    expected[1:] *= 2
    assert np.abs(found - expected[:-1]).max() < 1e-12
    heavy = expected[:-1] > 1e-30
    assert np.allclose(np.array(tails)[heavy], expected[:-1][heavy], rtol=1e-8)
    assert cumulative == sorted(cumulative)
    assert cumulative[-1] == 2**128 - 1


def test_skellam_shares_add_up_to_a_skellam_number():
    """Seven shares are one draw of seven times the variance, exactly; seven discrete Gaussians of a small variance are visibly not."""
    variance = 0.3
    assert fits(draw("skellam", variance, (7, COUNT), source()).sum(axis=0), "skellam", 7 * variance)
    assert not fits(draw("skellam", variance, (6, COUNT), source()).sum(axis=0), "skellam", 7 * variance)
    # In probabilities: the convolution of the tables of two shares is the table of their sum.
    share, total = probabilities("skellam", 0.9, 40), probabilities("skellam", 1.8, 80)
    assert np.allclose(np.convolve(share, share), total, atol=1e-15)
    shares = probabilities("discrete-gaussian", 0.3, 40)
    assert np.abs(np.convolve(shares, shares) - probabilities("discrete-gaussian", 0.6, 80)).max() > 1e-3


def test_skellam_is_a_difference_of_poisson_numbers():
    assert np.allclose(probabilities("skellam", 7.3, 20), skellam.pmf(np.arange(-20, 21), 3.65, 3.65), rtol=1e-9)
    two = poisson.rvs(3.65, size=(2, COUNT), random_state=np.random.default_rng(5))
    assert fits(two[0] - two[1], "skellam", 7.3)


def canonne_kamath_steinke(variance: Fraction, random: np.random.Generator) -> int:
    """Their algorithms 1 to 3, with integers only: an independent way to the discrete Gaussian."""

    def happens(numerator: int, denominator: int) -> bool:
        return int(random.integers(denominator)) < numerator

    def exponential(gamma: Fraction) -> bool:
        while gamma > 1:
            if not exponential(Fraction(1)):
                return False
            gamma -= 1
        k = 1
        while happens(gamma.numerator, gamma.denominator * k):
            k += 1
        return k % 2 == 1

    scale = math.isqrt(math.floor(variance)) + 1
    while True:
        u = int(random.integers(scale))
        if not exponential(Fraction(u, scale)):
            continue
        v = 0
        while exponential(Fraction(1)):
            v += 1
        magnitude, negative = u + scale * v, happens(1, 2)
        if negative and magnitude == 0:
            continue
        if exponential((magnitude - variance / scale) ** 2 / (2 * variance)):
            return -magnitude if negative else magnitude


def test_the_discrete_gaussian_is_that_of_canonne_kamath_and_steinke():
    random = np.random.default_rng(11)
    theirs = np.array([canonne_kamath_steinke(Fraction(9, 4), random) for _ in range(4000)])
    assert fits(theirs, "discrete-gaussian", 2.25)
    ours = draw("discrete-gaussian", 2.25, (COUNT,), source())
    counts = [np.bincount(np.clip(each, -4, 4) + 4, minlength=9) for each in (theirs, ours)]
    assert chi2_contingency(counts).pvalue > 1e-4


class Words(NoiseSource):
    """Given words, then zeros."""

    kind = "given"

    def __init__(self, *batches: list[int]) -> None:
        self.batches = list(batches)

    def words(self, n: int) -> np.ndarray:
        batch = self.batches.pop(0) if self.batches else [0] * n
        assert len(batch) == n
        return np.array(batch, dtype=np.uint64)


@pytest.mark.parametrize("law", LAWS)
def test_a_tie_in_the_first_word_is_decided_by_the_second(law):
    table = _table(law, 9.0)
    for place in (0, 1, 5, 12):
        upper, lower = int(table.upper[place]), int(table.lower[place])
        given = Words([upper, upper, upper - 1, upper + 1], [lower - 1, lower])
        assert draw(law, 9.0, (4,), given).tolist() == [place, place + 1, place, place + 1]


@pytest.mark.parametrize("law", LAWS)
def test_the_ends_of_the_range(law):
    """The least word draws zero. The largest one lies in the tail beyond 2^-64, where the second word alone decides."""
    table = _table(law, 9.0)
    assert draw(law, 9.0, (1,), Words([0])).tolist() == [0]
    cumulative = [int(upper) << 64 | int(lower) for upper, lower in zip(table.upper, table.lower, strict=True)]
    beyond = int((table.upper < 2**64 - 1).sum())
    assert beyond < len(table.upper) - 5
    for second in (0, int(table.lower[beyond + 2]), int(table.lower[beyond + 2]) - 1, 2**64 - 2):
        expected = bisect_right(cumulative, 2**128 - 2**64 + second)
        assert beyond <= expected < len(cumulative)
        assert draw(law, 9.0, (1,), Words([2**64 - 1], [second])).tolist() == [expected]


def test_the_guide_and_a_plain_search_agree():
    for law, variance in (("skellam", 0.01), ("skellam", 3000.0**2), ("discrete-gaussian", 77.0)):
        table, words = _table(law, variance), source("guide").words(100_000)
        steep = words[:20_000] | np.uint64(0xFFFF << 48)
        words = np.concatenate([words, steep, np.array([0, 1, 2**64 - 2], dtype=np.uint64)])
        # Words that are equal to a threshold get a zero for their second one, and so stay below it.
        assert (table.lower[np.isin(table.upper, words)] > 0).all()
        assert np.array_equal(table.draw(len(words), Words(words.tolist())), np.searchsorted(table.upper, words))


def test_seeded_draws_repeat_and_shapes_are_kept():
    def seeded():
        return SeededNoise(torch.Generator().manual_seed(4))

    assert np.array_equal(draw("skellam", 30.0, (3, 5), seeded()), draw("skellam", 30.0, (3, 5), seeded()))
    for shape in ((0,), (0, 4), (1,), (3, 5), (2, 3, 67)):
        assert draw("skellam", 30.0, shape, source()).shape == shape


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf, LARGEST_DEVIATION**2 * 1.01])
def test_a_variance_that_cannot_be_kept_is_refused(variance):
    for law in LAWS:
        with pytest.raises(PrivacyError, match="variance"):
            draw(law, variance, (1,), source())
