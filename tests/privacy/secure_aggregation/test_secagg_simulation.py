"""A simulated cohort sends what devices would send, to the bit, opens what a server would open, and refuses what would be refused."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cohort import STAGES, Cohort, terms_of

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.messages import MaskedVector
from everbloom.privacy.secure_aggregation.simulation import SimulatedCohort, simulated_secrets


@pytest.mark.usefixtures("verified_once")
@pytest.mark.parametrize(("degree", "bits"), [(1000, 32), (10, 32), (10, 16), (1000, 13)])
def test_same_bits_as_real_devices(degree, bits):
    lost = {"keys": [8], "shares": [5, 14], "masked": [20, 23], "confirm": [11], "unmask": [35]}
    cohort = Cohort(terms_of(degree=degree, bits=bits, length=300), 24, lost)
    opened = cohort.run()
    secrets = {device: cohort.secrets[device] for device in cohort.replies["keys"]}
    simulated = SimulatedCohort(cohort.terms, secrets)
    shared = list(cohort.replies["shares"])
    masked = simulated.mask(np.stack([cohort.vectors[device] for device in shared]), shared)
    rows = dict(zip(shared, masked, strict=True))
    for device, reply in cohort.replies["masked"].items():
        assert MaskedVector.unpack(reply).vector == rows[device].tobytes()
    got = simulated.open(masked, shared, **through(cohort))
    np.testing.assert_array_equal(got, opened)


def through(cohort: Cohort) -> dict[str, list[int]]:
    names = {"masked": "survivors", "confirm": "confirmed", "unmask": "revealed"}
    return {names[stage]: list(cohort.replies[stage]) for stage in STAGES[2:]}


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_what_opens_is_the_sum_of_the_survivors(data):
    size = data.draw(st.integers(3, 14))
    terms = terms_of(
        minimum=3,
        bits=data.draw(st.integers(1, 32)),
        length=data.draw(st.integers(1, 40)),
        degree=data.draw(st.integers(2, 14)),
        threshold=1,
        quorum=1,
    )
    devices = data.draw(st.permutations(range(100, 100 + size)))
    cohort = SimulatedCohort(terms, simulated_secrets(1, devices))
    draws = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    vectors = draws.integers(0, 2**terms.bits, (size, terms.length), dtype=terms.dtype.type)
    before = vectors.copy()
    survivors = data.draw(st.sets(st.sampled_from(devices), min_size=3))
    masked = cohort.mask(vectors, devices)
    opened = None
    with suppress(PrivacyError):
        opened = cohort.open(masked, devices, survivors=survivors)
    if opened is None:
        # A sparse graph may be left with too few neighbours, a complete one with three survivors is not.
        assert terms.degree < size - 1
        return
    rows = [place for place, device in enumerate(devices) if device in survivors]
    expected = vectors[rows].astype(np.uint64).sum(axis=0) % np.uint64(2**terms.bits)
    np.testing.assert_array_equal(opened, expected)
    np.testing.assert_array_equal(vectors, before)
    assert int(masked.max()) < 2**terms.bits


@pytest.mark.parametrize(
    ("left", "refused"),
    [
        ({"survivors": range(5)}, "5 survivors are below the minimum of 6"),
        ({"survivors": [0, 1, 2, 3, 4, 77]}, "not on the roster"),
        ({"confirmed": range(7)}, "7 survivors confirmed, 8 are needed"),
        ({"revealed": range(6)}, "5 shares of device 0 came back, 6 are needed"),
    ],
)
def test_refuses_as_devices_and_server_would(left, refused):
    cohort = SimulatedCohort(terms_of(), simulated_secrets(1, range(12)))
    masked = cohort.mask(np.zeros((12, 9), dtype=np.uint32), range(12))
    with pytest.raises(PrivacyError, match=refused):
        cohort.open(masked, range(12), **left)


def test_refuses_a_small_cohort_and_too_few_that_shared():
    with pytest.raises(PrivacyError, match="a cohort of 5 is below the minimum of 6"):
        SimulatedCohort(terms_of(), simulated_secrets(1, range(5)))
    cohort = SimulatedCohort(terms_of(), simulated_secrets(1, range(12)))
    with pytest.raises(PrivacyError, match="5 neighbours of device 0 shared, 6 are needed"):
        cohort.mask(np.zeros((6, 9), dtype=np.uint32), range(6))


@pytest.mark.parametrize(
    ("bits", "vectors"),
    [
        (32, np.zeros((12, 9), dtype=np.uint16)),
        (32, np.zeros((12, 9), dtype=np.int32)),
        (32, np.zeros((12, 8), dtype=np.uint32)),
        (32, np.zeros((11, 9), dtype=np.uint32)),
        (20, np.full((12, 9), 2**20, dtype=np.uint32)),
    ],
)
def test_refuses_other_vectors(bits, vectors):
    cohort = SimulatedCohort(terms_of(bits=bits), simulated_secrets(1, range(12)))
    with pytest.raises(SchemaError, match="secure aggregation"):
        cohort.mask(vectors, range(12))


def test_another_round_or_attempt_has_other_masks():
    """None of the round's names is left out of the masks' keys."""
    zeros, terms = np.zeros((12, 9), dtype=np.uint32), terms_of()
    changes = [{}, {"run": 1}, {"period": 2}, {"round": 8}, {"attempt": 1}, {"quorum": 70}]
    seen = {
        SimulatedCohort(replace(terms, **change), simulated_secrets(1, range(12))).mask(zeros, range(12)).tobytes()
        for change in changes
    }
    assert len(seen) == len(changes)


def test_secrets_follow_from_seed_and_device():
    assert simulated_secrets(1, [2, 3])[3] == simulated_secrets(1, [3])[3]
    assert len({*simulated_secrets(1, range(50)).values(), *simulated_secrets(2, range(50)).values()}) == 100
