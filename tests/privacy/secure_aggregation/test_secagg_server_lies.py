"""A server that lies about keys, rosters, shares and terms: every device refuses, with one line."""

from dataclasses import fields, replace

import numpy as np
import pytest
from secagg_cohort import STAGES, Cohort, session_at, terms_of

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, identity_key
from everbloom.privacy.secure_aggregation.messages import (
    Advertisement,
    AdvertiseRequest,
    MaskRequest,
    ShareRequest,
)
from everbloom.privacy.secure_aggregation.record import MemoryRecord
from everbloom.privacy.secure_aggregation.roster import Member, Roster, Session
from everbloom.privacy.secure_aggregation.terms import Policy


def with_member(session: Session, place: int, member: Member) -> Session:
    members = list(session.roster.members)
    members[place] = member
    return Session(session.terms, Roster(tuple(members)))


def signed_by(secret: bytes, session: Session, device: int, sealing: bytes, masking: bytes) -> Member:
    statement = Member.statement(session.terms.context, device, sealing, masking)
    return Member(device, sealing, masking, identity_key(secret).sign(statement))


class TestRoster:
    @pytest.fixture
    def cohort(self):
        return Cohort(terms_of()).until("shares")

    def refuses(self, cohort: Cohort, session: Session, why: str) -> None:
        with pytest.raises(PrivacyError, match=why):
            cohort.answer("shares", 5, ShareRequest(session).pack())

    def test_forged_keys(self, cohort):
        session = session_at(cohort)
        forged = EphemeralKeys.derive(bytes(32), session.terms.context).public
        for keys in (forged, (forged[0], session.roster.members[3].masking)):
            lie = with_member(session, 3, replace(session.roster.members[3], sealing=keys[0], masking=keys[1]))
            self.refuses(cohort, lie, "the keys of device 14 are not signed by it")

    def test_keys_signed_by_another_identity(self, cohort):
        session = session_at(cohort)
        theirs = session.roster.members[3]
        lie = signed_by(cohort.secrets[8], session, 14, theirs.sealing, theirs.masking)
        self.refuses(cohort, with_member(session, 3, lie), "the keys of device 14 are not signed by it")

    @pytest.mark.parametrize("change", [{"round": 6}, {"period": 0}, {"run": 1}, {"attempt": 3}])
    def test_keys_of_another_round(self, cohort, change):
        session = session_at(cohort)
        request = AdvertiseRequest(replace(cohort.terms, **change)).pack()
        old = Advertisement.unpack(cohort.answer("keys", 14, request)).member
        self.refuses(cohort, with_member(session, 3, old), "the keys of device 14 are not signed by it for this round")

    def test_a_device_nobody_knows(self, cohort):
        session = session_at(cohort)
        member = replace(session.roster.members[-1], device=1000)
        self.refuses(cohort, with_member(session, 11, member), "device 1000 is not in the directory")

    def test_a_device_that_signs_another_ones_keys_as_its_own(self, cohort):
        session = session_at(cohort)
        copied = session.roster.members[4]
        for keys in (
            (copied.sealing, copied.masking),
            (copied.masking, copied.sealing),
            (session.roster.members[3].sealing, copied.masking),
        ):
            lie = signed_by(cohort.secrets[14], session, 14, *keys)
            self.refuses(cohort, with_member(session, 3, lie), "two members of the roster have the same key")

    def test_one_identity_under_two_numbers(self, cohort):
        session = session_at(cohort)
        cohort.directory[14] = cohort.directory[17]
        theirs = session.roster.members[3]
        lie = signed_by(cohort.secrets[17], session, 14, theirs.sealing, theirs.masking)
        self.refuses(cohort, with_member(session, 3, lie), "two members of the roster have the same key")

    def test_a_device_listed_twice(self, cohort):
        members = session_at(cohort).roster.members
        with pytest.raises(SchemaError, match="names a device twice"):
            Roster((*members[:3], members[2], *members[3:]))

    def test_too_small_a_cohort(self, cohort):
        session = session_at(cohort)
        small = Session(session.terms, Roster(session.roster.members[:5]))
        self.refuses(cohort, small, "a cohort of 5 is below the minimum of 6")

    def test_without_this_device_or_with_other_keys_of_it(self, cohort):
        session = session_at(cohort)
        self.refuses(
            cohort,
            Session(session.terms, Roster(session.roster.members[1:])),
            "does not have device 5 with its own keys",
        )
        theirs = session.roster.members[3]
        lie = signed_by(cohort.secrets[5], session, 5, theirs.sealing, session.roster.members[0].masking)
        self.refuses(cohort, with_member(session, 0, lie), "does not have device 5 with its own keys")

    def test_a_second_roster(self, cohort):
        session = session_at(cohort)
        request = cohort.requests["shares"][5]
        answer = cohort.answer("shares", 5, request)
        other = Session(session.terms, Roster(session.roster.members[:-1]))
        self.refuses(cohort, other, "already answered for another roster")
        assert cohort.answer("shares", 5, request) == answer


@pytest.mark.parametrize("name", [field.name for field in fields(Policy)])
def test_weaker_terms_than_the_device_accepts(name):
    cohort = Cohort(terms_of(minimum=11, threshold=60, quorum=70, degree=40))
    device = SecureDevice(
        5, cohort.secrets[5], cohort.directory, MemoryRecord(), Policy(minimum=11, threshold=60, quorum=70, degree=40)
    )
    weaker = replace(cohort.terms, **{name: getattr(cohort.terms, name) - 1})
    device.advertise(AdvertiseRequest(cohort.terms).pack())
    with pytest.raises(PrivacyError, match=f"the server asks for {name} = .*, this device accepts"):
        device.advertise(AdvertiseRequest(weaker).pack())
    session = session_at(cohort.until("shares"))
    with pytest.raises(PrivacyError, match=f"the server asks for {name} = "):
        device.share(ShareRequest(Session(weaker, session.roster)).pack())


def test_terms_changed_between_stages():
    """Other terms are another aggregation, in which this device has other keys."""
    cohort = Cohort(terms_of()).until("masked")
    asked = MaskRequest.unpack(cohort.requests["masked"][5])
    for change in ({"threshold": 90}, {"length": 8}, {"bits": 31}, {"round": 8}):
        lie = Session(replace(cohort.terms, **change), asked.session.roster)
        with pytest.raises(PrivacyError, match="does not have device 5 with its own keys"):
            cohort.answer("masked", 5, MaskRequest(lie, asked.inbox).pack())


class TestShares:
    @pytest.fixture
    def cohort(self):
        return Cohort(terms_of()).until("masked")

    def refuses(self, cohort: Cohort, inbox: tuple[tuple[int, bytes], ...], why: str) -> None:
        request = MaskRequest(session_at(cohort), inbox).pack()
        with pytest.raises(PrivacyError, match=why):
            cohort.answer("masked", 5, request)

    def test_swapped_between_senders(self, cohort):
        inbox = MaskRequest.unpack(cohort.requests["masked"][5]).inbox
        (one, sealed), (other, also_sealed), *rest = inbox
        self.refuses(cohort, ((one, also_sealed), (other, sealed), *rest), "was not sealed by it for this round")

    def test_meant_for_another_device(self, cohort):
        inbox = MaskRequest.unpack(cohort.requests["masked"][5]).inbox
        other = dict(MaskRequest.unpack(cohort.requests["masked"][8]).inbox)
        lie = tuple((sender, other.get(sender, sealed)) for sender, sealed in inbox)
        self.refuses(cohort, lie, "was not sealed by it for this round")

    def test_its_own_shares_reflected(self, cohort):
        """What device 5 sealed for device 8 comes back as if device 8 had sealed it: the same two keys, another direction."""
        inbox = MaskRequest.unpack(cohort.requests["masked"][5]).inbox
        theirs = dict(MaskRequest.unpack(cohort.requests["masked"][8]).inbox)
        lie = tuple((sender, theirs[5] if sender == 8 else sealed) for sender, sealed in inbox)
        self.refuses(cohort, lie, "from device 8 was not sealed by it for this round")

    def test_of_another_attempt(self, cohort):
        again = Cohort(replace(cohort.terms, attempt=1)).until("masked")
        old = MaskRequest.unpack(again.requests["masked"][5]).inbox
        self.refuses(cohort, old, "was not sealed by it for this round")

    def test_too_few(self, cohort):
        inbox = MaskRequest.unpack(cohort.requests["masked"][5]).inbox
        self.refuses(cohort, inbox[:5], "5 of 11 neighbours shared, 6 are needed")

    def test_from_no_neighbour(self, cohort):
        inbox = MaskRequest.unpack(cohort.requests["masked"][5]).inbox
        self.refuses(cohort, ((5, bytes(82)), *inbox), "shares from a device that is no neighbour")

    def test_a_second_vector_or_inbox(self, cohort):
        request = cohort.requests["masked"][5]
        answer = cohort.answer("masked", 5, request)
        inbox = MaskRequest.unpack(request).inbox
        self.refuses(cohort, inbox[:-1], "already answered for another vector, roster or set of shares")
        cohort.vectors[5] = cohort.vectors[5] + np.uint32(1)
        self.refuses(cohort, inbox, "already answered for another vector, roster or set of shares")
        cohort.vectors[5] = cohort.vectors[5] - np.uint32(1)
        assert cohort.answer("masked", 5, request) == answer

    def test_another_attempt_after_a_vector_was_masked(self, cohort):
        cohort.answer("masked", 5, cohort.requests["masked"][5])
        again = Cohort(replace(cohort.terms, attempt=1))
        again.records[5] = cohort.records[5]
        again.until("masked")
        with pytest.raises(PrivacyError, match="already answered for another vector"):
            again.answer("masked", 5, again.requests["masked"][5])
        assert again.answer("masked", 8, again.requests["masked"][8])


def test_a_message_of_another_stage():
    cohort = Cohort(terms_of()).until("unmask")
    for stage in STAGES:
        for other in STAGES:
            if other != stage:
                with pytest.raises(SchemaError, match="another kind or version"):
                    cohort.answer(stage, 5, cohort.requests[other][5])


def test_a_device_under_another_identity_does_not_start():
    cohort = Cohort(terms_of())
    with pytest.raises(PrivacyError, match="does not have this device's identity as device 8"):
        SecureDevice(8, cohort.secrets[5], cohort.directory, MemoryRecord())
    with pytest.raises(PrivacyError, match="32 bytes, not 31"):
        SecureDevice(5, bytes(31), cohort.directory, MemoryRecord())
