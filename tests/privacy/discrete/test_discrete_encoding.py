"""Do encoded updates add up to the sum of the clipped ones and the noise claimed, and does every update's norm stay within the sensitivity?"""

import math
from dataclasses import replace

import numpy as np
import pytest

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.discrete import discrete_epsilon
from everbloom.privacy.discrete import encoding as encoding_module
from everbloom.privacy.discrete.encoding import DEVIATIONS, Encoding, calibrated
from everbloom.privacy.noise import CryptographicNoise


def make(**changes) -> Encoding:
    given = {"params": 300, "clip_norm": 0.7, "cohort": 20, "cohort_minimum": 18, "noise_multiplier": 1.0, "bits": 16}
    return Encoding(**{**given, **changes})


def source(label: str = "") -> CryptographicNoise:
    return CryptographicNoise(bytes(32), label.encode())


@pytest.fixture
def silent(monkeypatch):
    """Encoding without its noise, to see what the noise hides."""
    monkeypatch.setattr(encoding_module, "draw", lambda law, variance, shape, source: np.zeros(shape, dtype=np.int64))


def signed(encoded: np.ndarray, bits: int) -> np.ndarray:
    integers = encoded.astype(np.int64)
    return np.where(integers < 2 ** (bits - 1), integers, integers - 2**bits)


def sum_of(encoded: np.ndarray) -> np.ndarray:
    return encoded.sum(axis=0, dtype=np.uint64)


ADVERSARIAL = {
    "zero": np.zeros((1, 300)),
    "tiny": np.full((1, 300), 1e-30),
    "subnormal": np.full((1, 300), 1e-320),
    "huge": np.full((1, 300), 1e30),
    "nearly infinite": np.full((1, 300), 1.7e308),
    "one-hot": np.eye(1, 300) * 5,
    "all equal": np.full((1, 300), 0.7 / math.sqrt(300)),
    "on the clip norm": np.eye(1, 300) * 0.7,
    "alternating": np.tile([1e9, -1e9], (1, 150)),
    "one huge among tiny": np.concatenate([np.full((1, 299), 1e-300), np.full((1, 1), 1e300)], axis=1),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("bits", [12, 16, 24])
def test_no_update_exceeds_the_sensitivity(silent, name, bits):
    encoding = make(bits=bits)
    encoded = encoding.encode(np.repeat(ADVERSARIAL[name], 50, axis=0), source())
    integers = signed(encoded, bits)
    assert (integers**2).sum(axis=1).max() <= encoding.l2_square <= encoding.l2_sensitivity**2 * (1 + 1e-12)
    assert np.abs(integers).sum(axis=1).max() <= encoding.l1_sensitivity
    assert encoding.released.l2_sensitivity == encoding.l2_sensitivity


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_is_never_sent(value):
    updates = np.zeros((3, 300), dtype=np.float32)
    updates[2, 7] = value
    with pytest.raises(PrivacyError, match="update 2"):
        make().encode(updates, source())


def test_nobody_s_updates_are_no_error():
    assert make().encode(np.zeros((0, 300)), source()).shape == (0, 512)


@pytest.mark.parametrize("cohort", [2, 20, 1000])
@pytest.mark.parametrize(("bits", "dtype"), [(16, np.uint16), (20, np.uint32), (32, np.uint32)])
def test_sums_are_exact_modulo_the_modulus(silent, cohort, bits, dtype):
    """Without noise the decoded sum is the sum of the clipped updates to a grid step a client, however far single summands wrap."""
    encoding = make(cohort=cohort, cohort_minimum=1, bits=bits, params=60)
    updates = np.random.default_rng(cohort).normal(size=(cohort, 60)).astype(np.float32)
    encoded = encoding.encode(updates, source())
    assert encoded.dtype == dtype
    assert encoded.shape == (cohort, 64)
    full, reduced = sum_of(encoded), sum_of(encoded) % 2**bits
    decoded = encoding.decode(full, cohort)
    assert np.array_equal(decoded, encoding.decode(reduced, cohort))
    assert np.array_equal(decoded, encoding.decode(reduced.astype(dtype), cohort))
    expected = (0.7 * updates / np.linalg.norm(updates, axis=1, keepdims=True)).sum(axis=0)
    # Rounding errors of variance below g^2 / 4 each; in norm the rotation changes nothing.
    assert np.linalg.norm(decoded - expected) < 1.1 * encoding.granularity * math.sqrt(64 * cohort) / 2


def test_the_worst_cohort_does_not_wrap():
    """All clients send one and the same longest update, with noise. An eighth of the modulus would not have held their sum."""
    encoding = make(cohort=100, cohort_minimum=100)
    encoded = encoding.encode(np.full((100, 300), 1.0), source())
    expected = np.full(300, 100 * 0.7 / math.sqrt(300))
    assert np.abs(encoding.decode(sum_of(encoded), 100) - expected).max() < 6 * encoding.inflated_clip_norm
    total = signed(encoded, 16).sum(axis=0)
    assert 2**12 < np.abs(total).max() < 2**15


def noise_of(encoding: Encoding, rounds: int, cohort: int) -> np.ndarray:
    """[rounds, params] what sums of zero updates decode to."""
    zeros = np.zeros((cohort, encoding.params))
    return np.stack([encoding.decode(sum_of(encoding.encode(zeros, source(f"{r}"))), cohort) for r in range(rounds)])


def looks_like(noise: np.ndarray, deviation: float) -> bool:
    """Whether these draws may have that standard deviation: the chi-square statistic within four of its own deviations."""
    return abs(float(((noise / deviation) ** 2).sum()) - noise.size) / math.sqrt(2 * noise.size) < 4


@pytest.mark.parametrize("law", ["skellam", "discrete-gaussian"])
@pytest.mark.parametrize("bits", [12, 16, 24])
def test_the_noise_of_the_sum_is_as_large_as_claimed(law, bits):
    encoding = make(law=law, bits=bits)
    claimed = encoding.noise_multiplier * encoding.inflated_clip_norm
    assert looks_like(noise_of(encoding, 15, encoding.cohort_minimum), claimed)
    for wrong in (2 / 3, 3 / 2):
        mistaken = replace(encoding, noise_multiplier=wrong)
        assert not looks_like(noise_of(mistaken, 15, encoding.cohort_minimum), claimed)
    # Everybody comes: more noise than was counted on, by what tolerating dropout costs.
    assert looks_like(noise_of(encoding, 15, encoding.cohort), claimed * math.sqrt(20 / 18))


def test_the_sum_is_unbiased():
    """Mean of 400 noisy sums of three clients: within statistical error of the clipped sum, which a clip or a scale off by 5% is not."""
    encoding = make(cohort=3, cohort_minimum=3, params=100, noise_multiplier=0.3)
    updates = np.random.default_rng(2).normal(size=(3, 100)) * [[0.001], [0.06], [9.0]]
    norms = np.linalg.norm(updates, axis=1, keepdims=True)
    expected = (updates * np.minimum(1, 0.7 / norms)).sum(axis=0)
    assert norms[0] < 0.1 < norms[1] < 0.7 < norms[2]
    rounds = [
        encoding.with_rotation(r).decode(sum_of(encoding.with_rotation(r).encode(updates, source(f"{r}"))), 3)
        for r in range(400)
    ]
    deviation = 0.3 * encoding.inflated_clip_norm / math.sqrt(400)
    assert looks_like(np.mean(rounds, axis=0) - expected, deviation)
    assert abs(np.mean(rounds, axis=0) @ expected / (expected @ expected) - 1) < 0.05


def test_granularity_is_the_least_with_room():
    """Half the modulus is `DEVIATIONS` standard deviations of the worst sum, at 16 bits; where the sampler is the limit, its table is."""
    encoding = Encoding(50_000, 1.0, 1000, 900, 1.0, 16)
    g = encoding.granularity
    variance = (1000 / g) ** 2 / 65_536 + 1000 * (0.25 + encoding.share_variance)
    assert DEVIATIONS * math.sqrt(variance) == pytest.approx(2**15, rel=1e-5)
    assert DEVIATIONS * math.sqrt(variance) <= 2**15
    fine = replace(encoding, bits=32)
    assert math.sqrt(fine.share_variance) == pytest.approx(2**14, rel=1e-5)
    assert math.sqrt(fine.share_variance) <= 2**14
    assert fine.wraparound_probability < 1e-100


def test_published_size_of_the_inflation():
    """16 bits, 50,000 parameters, 1,000 clients: half a percent, and 5.4% more noise for a tenth that may drop out."""
    encoding = Encoding(50_000, 1.0, 1000, 900, 1.0, 16)
    assert encoding.inflated_clip_norm == pytest.approx(1.005, abs=2e-4)
    without = replace(encoding, cohort_minimum=1000)
    cost = math.sqrt(encoding.share_variance / without.share_variance) * encoding.granularity / without.granularity
    assert cost == pytest.approx(1.054, abs=1e-3)
    assert encoding.wraparound_probability < 3e-3


@pytest.mark.parametrize("law", ["skellam", "discrete-gaussian"])
def test_wraparound_bound_covers_what_happens(law):
    """With the deviations taken down to two the bound is worth testing: it lies above the frequency, and not by orders."""
    encoding = Encoding(1000, 1.0, 50, 50, 1.0, 16, law)
    half = 2.0**15 * 2 / DEVIATIONS
    g, n = encoding.granularity, 50
    beyond = 0
    for r in range(100):
        integers = signed(sum_of(encoding.with_rotation(r).encode(np.ones((n, 1000)), source(f"{r}"))) % 2**16, 16)
        beyond += int((np.abs(integers) > half).sum())
    frequency = beyond / (100 * 1024)
    bound = 2 * math.exp(-(half**2) / (2 * ((n / g) ** 2 / 1024 + n * (0.25 + encoding.share_variance))))
    assert bound / 30 < frequency < bound
    assert encoding.wraparound_probability == pytest.approx(1024 * 2 * math.exp(-(DEVIATIONS**2) / 2), rel=0.05)


def test_calibration_meets_epsilon_and_not_by_far():
    for law in ("skellam", "discrete-gaussian"):
        encoding = calibrated(make(law=law), participations=5, epsilon=3.0, delta=1e-5)
        assert 2.99 < discrete_epsilon(encoding.released, 5, 1e-5) <= 3.0
        assert replace(encoding, noise_multiplier=1.0) == make(law=law)


def test_the_rotation_changes_nothing_that_is_accounted():
    one = make()
    assert one.with_rotation(7).released == one.released
    assert one.with_rotation(7).rotation_seed == 7
    update = np.random.default_rng(1).normal(size=(1, 300))
    assert not np.array_equal(one.encode(update, source()), one.with_rotation(7).encode(update, source()))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"params": 0}, "params"),
        ({"cohort_minimum": 0}, "cohort_minimum"),
        ({"cohort_minimum": 21}, "cohort_minimum"),
        ({"bits": 7}, "bits"),
        ({"bits": 33}, "bits"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"clip_norm": math.nan}, "clip_norm"),
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
        ({"noise_multiplier": math.inf}, "noise_multiplier"),
    ],
)
def test_what_makes_no_mechanism_is_refused(changes, match):
    with pytest.raises(PrivacyError, match=match):
        make(**changes)


def test_a_modulus_too_small_is_refused():
    with pytest.raises(PrivacyError, match="take more bits"):
        _ = make(bits=8, cohort=1000, noise_multiplier=5.0).granularity


def test_sums_that_were_not_provided_for_are_refused():
    encoding = make()
    total = np.zeros(512, dtype=np.uint64)
    for count in (0, 17, 21):
        with pytest.raises(PrivacyError, match="count"):
            encoding.decode(total, count)
    with pytest.raises(PrivacyError, match="shape"):
        encoding.decode(total[:300], 18)
    for shape in ((300,), (2, 299)):
        with pytest.raises(PrivacyError, match="shape"):
            encoding.encode(np.zeros(shape), source())


def test_the_last_digits_of_an_update_do_not_change_its_noise():
    """A simulation's cohort and a device compute them differently. They decide how often rounding draws, and nothing behind it."""
    encoding, drawn = make(params=2048, bits=18), np.random.default_rng(4)
    again = 0
    for number in range(60):
        delta = drawn.normal(size=(1, 2048))
        other = delta * (1 + 1e-5 * drawn.normal(size=delta.shape))
        one, two = (signed(encoding.encode(values, source(str(number))), 18) for values in (delta, other))
        assert np.abs(one - two).max() <= 1
        again += np.abs(one - two).mean() > 0.1
    assert again, "at least one of them was rounded anew"
    assert math.sqrt(encoding.share_variance) > 30
