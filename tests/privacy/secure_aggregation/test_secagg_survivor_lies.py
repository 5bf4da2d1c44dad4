"""A server that lies about who survived, or asks for more than one share of a peer: every device refuses, and reveals nothing."""

from dataclasses import replace

import pytest
from secagg_cohort import Cohort, confirmations, session_at, terms_of

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.messages import (
    ConfirmRequest,
    MaskRequest,
    Reveal,
    UnmaskRequest,
)
from everbloom.privacy.secure_aggregation.record import MemoryRecord


class TestSurvivors:
    @pytest.fixture
    def cohort(self):
        return Cohort(terms_of()).until("confirm")

    def refuses(self, cohort: Cohort, survivors: tuple[int, ...], why: str) -> None:
        with pytest.raises(PrivacyError, match=why):
            cohort.answer("confirm", 5, ConfirmRequest(session_at(cohort), survivors).pack())

    def test_too_few(self, cohort):
        self.refuses(cohort, tuple(cohort.devices[:5]), "5 survivors are below the minimum of 6")

    def test_too_few_neighbours(self):
        cohort = Cohort(terms_of(threshold=80)).until("confirm")
        self.refuses(cohort, tuple(cohort.devices[:9]), "8 neighbours of device 5 survived, 9 are needed")

    def test_unknown_ones(self, cohort):
        self.refuses(cohort, (*cohort.devices, 1000), "a survivor is not on the roster")

    def test_without_this_device(self, cohort):
        self.refuses(cohort, tuple(cohort.devices[1:]), "device 5 is not among the survivors")

    def test_a_second_list(self, cohort):
        request = cohort.requests["confirm"][5]
        answer = cohort.answer("confirm", 5, request)
        self.refuses(cohort, tuple(cohort.devices[:-1]), "already answered for other survivors")
        assert cohort.answer("confirm", 5, request) == answer

    def test_before_anything_was_masked(self, cohort):
        fresh = Cohort(cohort.terms).until("masked")
        with pytest.raises(PrivacyError, match="has sent no masked vector"):
            fresh.answer("confirm", 5, cohort.requests["confirm"][5])

    def test_before_anything_was_shared(self, cohort):
        cohort.records[5] = MemoryRecord()
        with pytest.raises(PrivacyError, match="has shared its secrets with another roster, or not at all"):
            cohort.answer("confirm", 5, cohort.requests["confirm"][5])

    def test_gaps_that_cut_a_sparse_graph(self):
        """Every neighbour of every survivor may be there, and yet two runs of the ring are gone and the sum falls in two."""
        cohort = Cohort(terms_of(degree=4, threshold=50, minimum=3), 24)
        cohort.policy = replace(cohort.policy, threshold=50, degree=4)
        cohort.until("confirm")
        session = session_at(cohort)
        ring = session.graph._ring
        at = ring.index(5)
        dropped = {ring[(at + step) % 24] for step in (4, 5, 12, 13)}
        survivors = tuple(device for device in cohort.devices if device not in dropped)
        with pytest.raises(PrivacyError, match="could be opened in parts"):
            cohort.answer("confirm", 5, ConfirmRequest(session, survivors).pack())


class TestUnmasking:
    @pytest.fixture
    def cohort(self):
        return Cohort(terms_of()).until("unmask")

    def ask(self, cohort: Cohort, device: int = 5, **changes: object) -> Reveal:
        asked = UnmaskRequest.unpack(cohort.requests["unmask"][5])
        inbox = UnmaskRequest.unpack(cohort.requests["unmask"][device]).inbox
        return Reveal.unpack(cohort.answer("unmask", device, replace(asked, **{"inbox": inbox, **changes}).pack()))

    def test_one_share_of_each_neighbour_and_the_same_again(self, cohort):
        first, again = self.ask(cohort), self.ask(cohort)
        assert first == again
        assert [peer for peer, _ in first.seeds] == cohort.devices[1:]
        assert first.keys == ()

    def test_both_shares_of_a_peer(self, cohort):
        """Even with a full quorum's signatures of the other list, and for a device that was not asked to confirm either."""
        session = session_at(cohort)
        fewer = tuple(cohort.devices[:-1])
        lie = {"survivors": fewer, "confirmations": confirmations(cohort, session, fewer, fewer)}
        with pytest.raises(PrivacyError, match="already answered for other survivors"):
            self.ask(cohort, **lie)
        lost = Cohort(cohort.terms, lost={"confirm": [8]}).until("unmask")
        lost.requests["unmask"][8] = UnmaskRequest(
            session, MaskRequest.unpack(lost.requests["masked"][8]).inbox, fewer, lie["confirmations"]
        ).pack()
        first = Reveal.unpack(lost.answer("unmask", 8, lost.requests["unmask"][8]))
        assert [peer for peer, _ in first.keys] == [cohort.devices[-1]]
        signed = UnmaskRequest.unpack(lost.requests["unmask"][5])
        request = replace(signed, inbox=UnmaskRequest.unpack(lost.requests["unmask"][8]).inbox)
        with pytest.raises(PrivacyError, match="already answered for other survivors"):
            lost.answer("unmask", 8, request.pack())

    def test_two_devices_told_different_survivors(self, cohort):
        """Who was told one list does not act on signatures of another, and neither list finds a quorum."""
        fresh = Cohort(cohort.terms).until("confirm")
        session, everyone, fewer = session_at(fresh), tuple(fresh.devices), tuple(fresh.devices[:-1])
        told_all = confirmations(fresh, session, everyone, everyone[:6])
        told_fewer = confirmations(fresh, session, fewer, everyone[6:11])
        inbox = MaskRequest.unpack(fresh.requests["masked"][5]).inbox
        with pytest.raises(PrivacyError, match="6 survivors confirmed, 8 are needed"):
            fresh.answer("unmask", 5, UnmaskRequest(session, inbox, everyone, told_all).pack())
        with pytest.raises(PrivacyError, match="device 23 did not sign this list of survivors"):
            fresh.answer("unmask", 5, UnmaskRequest(session, inbox, everyone, (*told_all, *told_fewer)).pack())

    def test_signatures_that_do_not_count(self, cohort):
        signed = UnmaskRequest.unpack(cohort.requests["unmask"][5]).confirmations
        session, fewer = session_at(cohort), tuple(cohort.devices[:-1])
        outsider = confirmations(cohort, session, fewer, (cohort.devices[-1],))
        forged = ((signed[0][0], signed[1][1]), *signed[1:])
        with pytest.raises(PrivacyError, match="7 survivors confirmed, 8 are needed"):
            self.ask(cohort, confirmations=signed[:7])
        with pytest.raises(PrivacyError, match="device 5 did not sign"):
            self.ask(cohort, confirmations=forged)
        by = confirmations(cohort, session, fewer, fewer)
        with pytest.raises(PrivacyError, match="device 38 did not sign"):
            self.ask(cohort, survivors=fewer, confirmations=(*by, *outsider))
        with pytest.raises(SchemaError, match="do not ascend"):
            self.ask(cohort, confirmations=(signed[0],) * 8)

    def test_other_shares_than_it_masked_with(self, cohort):
        inbox = UnmaskRequest.unpack(cohort.requests["unmask"][5]).inbox
        with pytest.raises(PrivacyError, match="not the shares that this device masked with"):
            self.ask(cohort, inbox=inbox[:-1])

    def test_a_survivor_it_has_no_mask_with(self):
        """Device 5 was told that device 8 did not share, all others that it did: two parts of the cohort, opened apart."""
        cohort = Cohort(terms_of()).until("masked")
        asked = MaskRequest.unpack(cohort.requests["masked"][5])
        without = tuple(entry for entry in asked.inbox if entry[0] != 8)
        cohort.answer("masked", 5, MaskRequest(asked.session, without).pack())
        everyone = tuple(cohort.devices)
        signed = confirmations(cohort, asked.session, everyone, everyone)
        with pytest.raises(PrivacyError, match="device 8 survived, yet this device has no mask with it"):
            cohort.answer("unmask", 5, UnmaskRequest(asked.session, without, everyone, signed).pack())
