"""Bytes of messages: there and back, and whatever else arrives is one clear error."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cohort import STAGES, Cohort, terms_of

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation import messages
from everbloom.privacy.secure_aggregation.messages import read_terms
from everbloom.privacy.secure_aggregation.terms import Terms

KINDS = [
    messages.AdvertiseRequest,
    messages.Advertisement,
    messages.ShareRequest,
    messages.SealedShares,
    messages.MaskRequest,
    messages.MaskedVector,
    messages.ConfirmRequest,
    messages.Confirmation,
    messages.UnmaskRequest,
    messages.Reveal,
]


@pytest.fixture(scope="module")
def traffic():
    """One message of each kind, from a round that lost a device."""
    cohort = Cohort(terms_of(minimum=3), 5, {"masked": [8]})
    cohort.run()
    return cohort, [part for stage in STAGES for part in (cohort.requests[stage][5], cohort.replies[stage][5])]


def test_there_and_back(traffic):
    _, found = traffic
    for kind, data in zip(KINDS, found, strict=True):
        assert kind.unpack(data).pack() == data
        assert kind.unpack(kind.unpack(data).pack()) == kind.unpack(data)


def test_terms_of_every_request_and_of_nothing_else(traffic):
    cohort, found = traffic
    for request in found[::2]:
        assert read_terms(request) == cohort.terms
    for other in [*found[1::2], b"", found[0][:20], found[0][:50]]:
        with pytest.raises(SchemaError):
            read_terms(other)


def test_every_truncation_and_addition(traffic):
    _, found = traffic
    for kind, data in zip(KINDS, found, strict=True):
        for size in {*range(0, len(data), 7), len(data) - 1}:
            with pytest.raises(SchemaError):
                kind.unpack(data[:size])
        with pytest.raises(SchemaError):
            kind.unpack(data + b"\0")


@given(st.binary(max_size=400), st.sampled_from(KINDS))
def test_any_bytes(data, kind):
    with pytest.raises(SchemaError):
        kind.unpack(data)


def answer_of(cohort: Cohort, stage: str, request: bytes) -> bytes | None:
    """None: refused, with one line."""
    try:
        return cohort.answer(stage, 5, request)
    except (PrivacyError, SchemaError) as error:
        return None if len(str(error).splitlines()) == 1 else b""


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_changed_byte_is_refused_or_answered_as_before(traffic, data):
    """A device never fails otherwise. What it may answer: a request whose change is no news to it, as of a signature verified before."""
    cohort, _ = traffic
    stage = data.draw(st.sampled_from(STAGES[1:]))
    answer = answer_of(cohort, stage, changed(cohort.requests[stage][5], data))
    assert answer is None or (stage != "shares" and answer == cohort.replies[stage][5])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_one_changed_reply_costs_its_device_or_the_sum_and_never_makes_a_wrong_one(data):
    """Whoever errs at a reply or a request has dropped out. A changed vector is one that its device might have sent."""
    cohort, wrong = Cohort(terms_of(minimum=3, length=2), 5), data.draw(st.sampled_from(STAGES))
    server = cohort.server
    add = dict(
        zip(
            STAGES,
            (
                server.add_advertisement,
                server.add_shares,
                server.add_masked,
                server.add_confirmation,
                server.add_reveal,
            ),
            strict=True,
        )
    )
    for stage in STAGES:
        for device, request in cohort.ask(stage).items():
            with suppress(PrivacyError, SchemaError):
                reply = cohort.answer(stage, device, request)
                add[stage](device, changed(reply, data) if (stage, device) == (wrong, 5) else reply)
    opened = None
    with suppress(PrivacyError):
        opened = server.open()
    if opened is not None and wrong != "masked":
        assert opened.tolist() == cohort.sum(server.survivors).tolist()


def changed(message: bytes, data: st.DataObject) -> bytes:
    altered = bytearray(message)
    altered[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(altered)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("bits", 0),
        ("bits", 33),
        ("length", 0),
        ("minimum", 2),
        ("threshold", 101),
        ("quorum", 0),
        ("degree", 1),
        ("round", -1),
        ("run", 2**64),
    ],
)
def test_terms_out_of_range(change, value):
    with pytest.raises(PrivacyError, match=f"{change} = {value}, expected"):
        terms_of(**{change: value})


@given(st.integers(1, 100), st.integers(2, 500))
def test_thresholds_are_rounded_up(percent, count):
    terms = Terms(run=0, period=0, round=0, length=1, threshold=percent, quorum=percent, minimum=3)
    assert 100 * terms.shares_needed(count) >= percent * count
    assert terms.shares_needed(count) >= 2
    assert 100 * (terms.confirmations_needed(count) - 1) < percent * count or terms.confirmations_needed(count) == 3
    if percent > 50 and count > 2:
        assert 2 * terms.shares_needed(count) > count
