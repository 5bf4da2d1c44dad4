"""The sum is exact whoever drops out at whichever stage, and is not opened at all when too few are left."""

import numpy as np
import pytest
from secagg_cohort import STAGES, Cohort, terms_of

from everbloom.errors import PrivacyError


def tenth(stage: str) -> list[int]:
    """Ten of a hundred devices, others at every stage."""
    return [5 + 3 * (10 * place + STAGES.index(stage)) for place in range(10)]


@pytest.mark.usefixtures("verified_once")
@pytest.mark.parametrize(("stage", "degree"), [*((stage, 24) for stage in STAGES), ("masked", 1000)])
def test_ten_of_a_hundred_drop_out_at_one_stage(stage, degree):
    cohort = Cohort(terms_of(degree=degree), 100, {stage: tenth(stage)})
    opened = cohort.run()
    # Who drops out once its vector has arrived is in the sum.
    missing = tenth(stage) if stage in ("keys", "shares", "masked") else []
    expected = [device for device in cohort.devices if device not in missing]
    assert cohort.server.survivors == tuple(expected)
    np.testing.assert_array_equal(opened, cohort.sum(expected))


@pytest.mark.usefixtures("verified_once")
@pytest.mark.parametrize("bits", [32, 11])
def test_ten_of_a_hundred_drop_out_at_every_stage(bits):
    """50 of the roster's 90 are left in the end; 46 are needed."""
    cohort = Cohort(terms_of(bits=bits), 100, {stage: tenth(stage) for stage in STAGES})
    opened = cohort.run()
    assert len(cohort.replies["unmask"]) == 50
    missing = {device for stage in STAGES[:3] for device in tenth(stage)}
    expected = [device for device in cohort.devices if device not in missing]
    assert opened.dtype == cohort.terms.dtype
    np.testing.assert_array_equal(opened, cohort.sum(expected))


@pytest.mark.parametrize("size", [3, 4, 7])
@pytest.mark.parametrize("length", [1, 5, 1000])
def test_small_cohorts_without_dropouts(size, length):
    cohort = Cohort(terms_of(minimum=3, length=length), size)
    np.testing.assert_array_equal(cohort.run(), cohort.sum(cohort.devices))


@pytest.mark.parametrize(
    ("lost", "refused"),
    [
        ({"keys": 7}, "5 devices answered at stage keys, 6 are needed"),
        ({"shares": 7}, "5 devices answered at stage shares, 6 are needed"),
        ({"masked": 7}, "5 devices answered at stage masked, 6 are needed"),
        ({"confirm": 5}, "7 devices answered at stage confirm, 8 are needed"),
        ({"unmask": 7}, "5 devices answered at stage unmask, 6 are needed"),
        ({"unmask": 6}, "5 shares of device 23 came back, 6 are needed"),
    ],
)
def test_too_few_are_left(lost, refused):
    """Of 12 devices: minimum 6, quorum 8, threshold 6 of each one's 11 neighbours."""
    gone = {stage: [5 + 3 * place for place in range(count)] for stage, count in lost.items()}
    with pytest.raises(PrivacyError, match=refused):
        Cohort(terms_of(), 12, gone).run()


def test_a_device_refuses_when_too_few_neighbours_shared():
    cohort = Cohort(terms_of(threshold=80), 12, {"shares": [5, 8, 11]})
    cohort.until("masked")
    with pytest.raises(PrivacyError, match="8 of 11 neighbours shared, 9 are needed"):
        cohort.answer("masked", 14, cohort.requests["masked"][14])


def test_one_that_comes_back_after_it_was_counted_out_changes_nothing():
    """A vector that arrives late is refused, its sender's key is opened, and its own mask stays closed."""
    cohort = Cohort(terms_of(), 12, {"masked": [5]}).until("confirm")
    late = cohort.answer("masked", 5, cohort.requests["masked"][5])
    with pytest.raises(PrivacyError, match="a reply of stage masked from device 5, the server is at confirm"):
        cohort.server.add_masked(5, late)
