"""Devices that err or lie: the server refuses their reply alone, or the sum, and never opens a wrong one."""

from dataclasses import replace

import numpy as np
import pytest
from secagg_cohort import Cohort, terms_of

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, agree
from everbloom.privacy.secure_aggregation.messages import (
    Advertisement,
    Confirmation,
    MaskedVector,
    Reveal,
    SealedShares,
)


def test_a_reply_refused_changes_nothing():
    """Every kind of bad reply at every stage is one error each; the honest replies then open the exact sum."""
    cohort = Cohort(terms_of(bits=20))
    server, stages = cohort.server, {}
    stages["keys"] = (server.add_advertisement, Advertisement, "context")
    stages["shares"] = (server.add_shares, SealedShares, "binding")
    stages["masked"] = (server.add_masked, MaskedVector, "binding")
    stages["confirm"] = (server.add_confirmation, Confirmation, "binding")
    stages["unmask"] = (server.add_reveal, Reveal, "binding")
    for stage, (add, kind, bound) in stages.items():
        requests = cohort.ask(stage)
        replies = {device: cohort.answer(stage, device, request) for device, request in requests.items()}
        with pytest.raises(SchemaError):
            add(5, b"")
        with pytest.raises(SchemaError):
            add(5, replies[5] + b"\0")
        with pytest.raises(PrivacyError, match="of another device or aggregation"):
            add(5, replies[8])
        with pytest.raises(PrivacyError, match="of another device or aggregation"):
            add(5, replace(kind.unpack(replies[5]), **{bound: bytes(32)}).pack())
        for device, reply in replies.items():
            add(device, reply)
        with pytest.raises(PrivacyError, match="was not asked, or answered twice"):
            add(5, replies[5])
    np.testing.assert_array_equal(server.open(), cohort.sum(cohort.devices))


def test_keys_that_are_not_its_own():
    cohort = Cohort(terms_of()).until("shares")
    fresh = Cohort(cohort.terms)
    mine = Advertisement.unpack(cohort.replies["keys"][5])
    other = Advertisement.unpack(cohort.replies["keys"][8]).member
    for member in (replace(mine.member, masking=other.masking), replace(mine.member, signature=other.signature)):
        with pytest.raises(PrivacyError, match="the keys of device 5 are not signed by it"):
            fresh.server.add_advertisement(5, replace(mine, member=member).pack())


def test_a_device_of_low_order_keys_is_refused_by_its_peers():
    """The zero point would make every mask with it known."""
    with pytest.raises(PrivacyError, match="an advertised key cannot be used"):
        agree(EphemeralKeys.derive(bytes(32), bytes(32)).masking, bytes(32))


def test_shares_for_others_than_its_neighbours():
    cohort = Cohort(terms_of()).until("shares")
    reply = SealedShares.unpack(cohort.answer("shares", 5, cohort.requests["shares"][5]))
    with pytest.raises(PrivacyError, match="device 5 did not share with its neighbours"):
        cohort.server.add_shares(5, replace(reply, outbox=reply.outbox[1:]).pack())


@pytest.mark.parametrize("vector", [bytes(36 - 4), bytes(36 + 4), b"\xff" * 36])
def test_a_vector_of_another_length_or_range(vector):
    cohort = Cohort(terms_of(bits=20)).until("masked")
    reply = MaskedVector.unpack(cohort.answer("masked", 5, cohort.requests["masked"][5]))
    with pytest.raises(SchemaError, match="secure aggregation"):
        cohort.server.add_masked(5, replace(reply, vector=vector).pack())


def test_a_vector_that_does_not_fit_the_terms():
    cohort = Cohort(terms_of(bits=20)).until("masked")
    for vector in (np.zeros(8, np.uint32), np.zeros(9, np.float32), np.full(9, 2**20, np.uint32)):
        cohort.vectors[5] = vector
        with pytest.raises(SchemaError, match="secure aggregation"):
            cohort.answer("masked", 5, cohort.requests["masked"][5])


def test_a_confirmation_of_another_list():
    cohort = Cohort(terms_of()).until("unmask")
    fresh = Cohort(cohort.terms, lost={"masked": [38]}).until("confirm")
    with pytest.raises(PrivacyError, match="device 5 did not sign this list of survivors"):
        fresh.server.add_confirmation(5, cohort.replies["confirm"][5])


def test_a_reveal_of_the_wrong_secret():
    cohort = Cohort(terms_of(), lost={"masked": [38]}).until("unmask")
    reply = Reveal.unpack(cohort.answer("unmask", 5, cohort.requests["unmask"][5]))
    assert [peer for peer, _ in reply.keys] == [38]
    lie = replace(reply, seeds=(*reply.seeds, *reply.keys), keys=())
    with pytest.raises(PrivacyError, match="device 5 did not reveal one share of each neighbour"):
        cohort.server.add_reveal(5, lie.pack())


@pytest.mark.parametrize("secret", ["seeds", "keys"])
@pytest.mark.parametrize("share", [bytes(33), b"\xff" * 33])
def test_a_wrong_share_opens_no_wrong_sum(secret, share):
    cohort = Cohort(terms_of(), lost={"masked": [38]}).until("unmask")
    for device, request in cohort.requests["unmask"].items():
        reply = Reveal.unpack(cohort.answer("unmask", device, request))
        if device == 5:
            spoilt = tuple((peer, share) for peer, _ in getattr(reply, secret))
            reply = replace(reply, **{secret: spoilt})
        cohort.server.add_reveal(device, reply.pack())
    with pytest.raises(PrivacyError, match=r"secret sharing|do not recover it"):
        cohort.server.open()


def test_stages_in_another_order():
    cohort = Cohort(terms_of())
    with pytest.raises(PrivacyError, match="stage masked follows shares, the server is at keys"):
        cohort.server.mask_requests()
    with pytest.raises(PrivacyError, match="stage opened follows unmask, the server is at keys"):
        cohort.server.open()
    cohort.run()
    with pytest.raises(PrivacyError, match="stage opened follows unmask, the server is at opened"):
        cohort.server.open()
