"""What the server sees of one client is uniform; and the test that says so would notice if it were not.

Seeds are fixed, so a p-value is what it is: those of right masks lie well inside (0, 1), those of wrong ones are 0 to many digits.
"""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest
from secagg_cohort import Cohort, terms_of

from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, agree
from everbloom.privacy.secure_aggregation.masks import MaskStream, pair_mask_key, self_mask_key
from everbloom.privacy.secure_aggregation.sealing import self_mask_seed
from everbloom.privacy.secure_aggregation.simulation import SimulatedCohort, simulated_secrets

LENGTH = 50_000
ACCEPT, REJECT = 1e-3, 1e-12


def p_value(values: np.ndarray, bits: int) -> float:
    """The smallest of three, times three: each byte's counts; the values' distribution; the steps from each coordinate to the next."""
    size = values.dtype.itemsize
    used = values.view(np.uint8).reshape(len(values), size)[:, : bits // 8]
    bytes_p = min(float(chisquare(np.bincount(column, minlength=256)).pvalue) for column in used.T)
    scaled = values.astype(np.float64) / 2.0**bits
    steps = np.diff(values) % np.asarray(2**bits - 1 if bits < 8 * size else np.iinfo(values.dtype).max, values.dtype)
    steps_p = float(kstest(steps.astype(np.float64) / 2.0**bits, "uniform").pvalue)
    return min(1.0, 3 * min(used.shape[1] * bytes_p, float(kstest(scaled, "uniform").pvalue), steps_p))


def update(bits: int, seed: int = 0) -> np.ndarray:
    """A quantised update, as a client would send: small, around 0, wrapped."""
    drawn = np.random.default_rng(seed).normal(0, 50, LENGTH).round().astype(np.int64)
    return (drawn % 2**bits).astype(np.uint16 if bits <= 16 else np.uint32)


@pytest.fixture(params=[(32, 1000), (32, 4), (16, 1000)], ids=["32 bits", "32 bits, 4 neighbours", "16 bits"])
def cohort(request):
    bits, degree = request.param
    return SimulatedCohort(terms_of(bits=bits, degree=degree, length=LENGTH), simulated_secrets(1, range(12)))


def masked(cohort: SimulatedCohort) -> np.ndarray:
    return cohort.mask(np.stack([update(cohort.terms.bits, seed) for seed in range(12)]), range(12))


def test_masked_is_uniform_and_unmasked_is_not(cohort):
    bits = cohort.terms.bits
    assert min(p_value(row, bits) for row in masked(cohort)) > ACCEPT / 12
    assert p_value(update(bits), bits) < REJECT


@pytest.mark.parametrize("flaw", ["one coordinate in 20 unmasked", "masks of 31 bits", "a short period", "small mask"])
def test_the_test_notices_flawed_masks(flaw):
    good = MaskStream(terms_of(length=LENGTH)).expand(bytes(32)).copy()
    masks = {
        "one coordinate in 20 unmasked": np.where(np.arange(LENGTH) % 20 == 0, np.uint32(0), good),
        "masks of 31 bits": good >> np.uint32(1),
        "a short period": np.tile(good[:500], LENGTH // 500),
        "small mask": good >> np.uint32(12),
    }
    assert p_value(update(32) + good, 32) > ACCEPT
    assert p_value(update(32) + masks[flaw], 32) < REJECT


def test_after_unmasking_one_client_is_still_uniform(cohort):
    """The server takes away all it learns of a survivor: its own mask, and those with neighbours that dropped out. The rest tells nothing."""
    bits, session = cohort.terms.bits, cohort.session
    secrets = simulated_secrets(1, range(12))
    keys = {device: EphemeralKeys.derive(secret, session.terms.context) for device, secret in secrets.items()}
    row, stream = masked(cohort)[0], MaskStream(cohort.terms)
    stream.subtract(row, self_mask_key(self_mask_seed(secrets[0], session), session.binding, 0))
    *dropped, last = session.graph.neighbours(0)
    for peer in dropped:
        shared = agree(keys[0].masking, session.members[peer].masking)
        stream.subtract(row, pair_mask_key(shared, session.binding, 0, peer))
    assert p_value(row, bits) > ACCEPT
    # And with the last mask too, the client stands there: had the server both secrets, there were no privacy.
    shared = agree(keys[0].masking, session.members[last].masking)
    stream.subtract(row, pair_mask_key(shared, session.binding, 0, last))
    np.testing.assert_array_equal(row, update(bits))


def test_one_that_dropped_out_after_masking_is_still_uniform(cohort):
    """All its pairwise masks are known; its own is not."""
    bits, session = cohort.terms.bits, cohort.session
    secrets = simulated_secrets(1, range(12))
    mine = EphemeralKeys.derive(secrets[0], session.terms.context).masking
    row, stream = masked(cohort)[0], MaskStream(cohort.terms)
    for peer in session.graph.neighbours(0):
        stream.subtract(row, pair_mask_key(agree(mine, session.members[peer].masking), session.binding, 0, peer))
    assert p_value(row, bits) > ACCEPT


def test_two_rounds_of_one_client_and_two_clients_of_one_round(cohort):
    """Differences and sums, in which a mask that is used twice would cancel."""
    bits = cohort.terms.bits
    rows = masked(cohort)
    other = SimulatedCohort(
        terms_of(round=8, bits=bits, degree=cohort.terms.degree, length=LENGTH), simulated_secrets(1, range(12))
    )
    again = masked(other)
    assert p_value(rows[0] - again[0], bits) > ACCEPT
    assert min(p_value(rows[0] + rows[place], bits) for place in range(1, 12)) > ACCEPT / 11
    assert min(p_value(rows[0] - rows[place], bits) for place in range(1, 12)) > ACCEPT / 11
    assert p_value(rows[0] - rows[0] + update(bits), bits) < REJECT


def test_what_a_real_device_sends_is_uniform():
    real = Cohort(terms_of(minimum=3, length=LENGTH), 4).until("masked")
    real.vectors[5] = update(32)
    reply = real.answer("masked", 5, real.requests["masked"][5])
    assert p_value(np.frombuffer(reply[-4 * LENGTH :], dtype=np.uint32), 32) > ACCEPT


def test_a_modulus_between_is_uniform_too():
    cohort = SimulatedCohort(terms_of(bits=24, length=LENGTH), simulated_secrets(1, range(12)))
    row = cohort.mask(np.stack([update(24, seed) for seed in range(12)]), range(12))[0]
    assert p_value(row, 24) > ACCEPT
