"""The server's side: one object for one aggregation. It learns the sum and, of each device, what follows from the sum.

Each stage is a request or a request per device, then `add_...` for every reply. An `add_...` that raises `PrivacyError` or `SchemaError` has changed
nothing: the caller counts that device as dropped out and goes on. Who has not answered when the next stage is asked for has dropped out.
"""

from collections.abc import Container, Mapping

import numpy as np

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.keys import verify
from everbloom.privacy.secure_aggregation.masks import Vector, check_vector, reduce
from everbloom.privacy.secure_aggregation.messages import (
    Advertisement,
    AdvertiseRequest,
    Confirmation,
    ConfirmRequest,
    MaskedVector,
    MaskRequest,
    Reveal,
    SealedShares,
    ShareRequest,
    UnmaskRequest,
)
from everbloom.privacy.secure_aggregation.packing import Numbered
from everbloom.privacy.secure_aggregation.recovery import remove_masks
from everbloom.privacy.secure_aggregation.roster import Member, Roster, Session
from everbloom.privacy.secure_aggregation.survivors import confirmation_statement
from everbloom.privacy.secure_aggregation.terms import Terms

_STAGES = ("keys", "shares", "masked", "confirm", "unmask", "opened")


class SecureServer:
    """One aggregation under `terms`, among the devices whose identities [32 bytes] are in `directory`."""

    def __init__(self, terms: Terms, directory: Mapping[int, bytes]) -> None:
        self.terms = terms
        self._directory = directory
        self._stage = "keys"
        self._advertised: dict[int, Member] = {}
        self._session = Session(terms, Roster(()))
        self._sealed: dict[int, SealedShares] = {}
        self._inboxes: dict[int, Numbered] = {}
        self._total: Vector = np.zeros(terms.length, dtype=terms.dtype)
        self._masked: set[int] = set()
        self._confirmed: dict[int, bytes] = {}
        self._revealed: dict[int, Reveal] = {}

    @property
    def survivors(self) -> tuple[int, ...]:
        """Whose vectors are in the sum, ascending; final once confirmations were asked for."""
        return tuple(sorted(self._masked))

    def advertise_request(self) -> bytes:
        """Stage keys: to every device of the cohort."""
        return AdvertiseRequest(self.terms).pack()

    def add_advertisement(self, device: int, reply: bytes) -> None:
        """`device` is who the transport says it came from, here and below."""
        found = Advertisement.unpack(reply)
        self._expect(
            "keys", device, found.member.device, found.context == self.terms.context, self._directory, self._advertised
        )
        found.member.authenticate(self.terms.context, self._directory)
        self._advertised[device] = found.member

    def share_requests(self) -> dict[int, bytes]:
        """Stage shares, by device: the roster is closed."""
        self._advance("shares", len(self._advertised))
        roster = Roster(tuple(self._advertised[device] for device in sorted(self._advertised)))
        roster.authenticate(self.terms, self._directory)
        self._session = Session(self.terms, roster)
        return dict.fromkeys(self._session.members, ShareRequest(self._session).pack())

    def add_shares(self, device: int, reply: bytes) -> None:
        """See `add_advertisement`."""
        found = SealedShares.unpack(reply)
        self._expect("shares", device, found.device, self._is_bound(found.binding), self._session.members, self._sealed)
        if tuple(receiver for receiver, _ in found.outbox) != self._session.graph.neighbours(device):
            raise PrivacyError(f"secure aggregation: device {device} did not share with its neighbours")
        self._sealed[device] = found

    def mask_requests(self) -> dict[int, bytes]:
        """Stage masked, by device."""
        self._advance("masked", len(self._sealed))
        outboxes = {sender: dict(found.outbox) for sender, found in self._sealed.items()}
        for device in sorted(self._sealed):
            senders = (peer for peer in self._session.graph.neighbours(device) if peer in outboxes)
            self._inboxes[device] = tuple((sender, outboxes[sender][device]) for sender in senders)
        return {device: MaskRequest(self._session, inbox).pack() for device, inbox in self._inboxes.items()}

    def add_masked(self, device: int, reply: bytes) -> None:
        """See `add_advertisement`. The vector is added to the sum and not kept."""
        found = MaskedVector.unpack(reply)
        self._expect("masked", device, found.device, self._is_bound(found.binding), self._sealed, self._masked)
        if len(found.vector) != self._total.nbytes:
            raise SchemaError(
                f"secure aggregation: device {device} did not send a vector of {self._total.nbytes} bytes"
            )
        vector = np.frombuffer(found.vector, dtype=self.terms.dtype)
        check_vector(vector, self.terms)
        self._total += vector
        self._masked.add(device)

    def confirm_requests(self) -> dict[int, bytes]:
        """Stage confirm, by device: the survivors are closed."""
        self._advance("confirm", len(self._masked))
        return dict.fromkeys(self.survivors, ConfirmRequest(self._session, self.survivors).pack())

    def add_confirmation(self, device: int, reply: bytes) -> None:
        """See `add_advertisement`."""
        found = Confirmation.unpack(reply)
        self._expect("confirm", device, found.device, self._is_bound(found.binding), self._masked, self._confirmed)
        statement = confirmation_statement(self._session, self.survivors)
        if not verify(self._directory[device], found.signature, statement):
            raise PrivacyError(f"secure aggregation: device {device} did not sign this list of survivors")
        self._confirmed[device] = found.signature

    def unmask_requests(self) -> dict[int, bytes]:
        """Stage unmask, by device."""
        needed = self._session.confirmations_needed
        self._advance("unmask", len(self._confirmed), needed)
        signed = tuple(sorted(self._confirmed.items()))
        return {
            device: UnmaskRequest(self._session, self._inboxes[device], self.survivors, signed).pack()
            for device, _ in signed
        }

    def add_reveal(self, device: int, reply: bytes) -> None:
        """See `add_advertisement`."""
        found = Reveal.unpack(reply)
        self._expect("unmask", device, found.device, self._is_bound(found.binding), self._confirmed, self._revealed)
        held = [sender for sender, _ in self._inboxes[device]]
        seeds = [peer for peer in held if peer in self._masked]
        keys = [peer for peer in held if peer not in self._masked]
        if [peer for peer, _ in found.seeds] != seeds or [peer for peer, _ in found.keys] != keys:
            raise PrivacyError(f"secure aggregation: device {device} did not reveal one share of each neighbour")
        self._revealed[device] = found

    def open(self) -> Vector:
        """[length] the sum of the survivors' vectors mod 2^bits. Raises `PrivacyError` if too few shares came back, or wrong ones."""
        self._advance("opened", len(self._revealed), self._session.shares_needed)
        commitments = {device: found.commitment for device, found in self._sealed.items()}
        remove_masks(self._total, self._session, self._masked, commitments, self._revealed.values())
        return reduce(self._total, self.terms)

    def _is_bound(self, binding: bytes) -> bool:
        return binding == self._session.binding

    def _expect(
        self, stage: str, sender: int, device: int, bound: bool, asked: Container[int], answered: Container[int]
    ) -> None:
        """A reply is for this stage and aggregation, from whom it says, who was asked, and the first one."""
        if self._stage != stage:
            raise PrivacyError(
                f"secure aggregation: a reply of stage {stage} from device {sender}, the server is at {self._stage}"
            )
        if sender != device or not bound:
            raise PrivacyError(f"secure aggregation: the reply of device {sender} is of another device or aggregation")
        if device not in asked or device in answered:
            raise PrivacyError(
                f"secure aggregation: device {device} was not asked, or answered twice, at stage {stage}"
            )

    def _advance(self, stage: str, answers: int, needed: int | None = None) -> None:
        """To the next stage, if enough answered."""
        before = _STAGES[_STAGES.index(stage) - 1]
        if self._stage != before:
            raise PrivacyError(f"secure aggregation: stage {stage} follows {before}, the server is at {self._stage}")
        least = self.terms.minimum if needed is None else needed
        if answers < least:
            raise PrivacyError(f"secure aggregation: {answers} devices answered at stage {before}, {least} are needed")
        self._stage = stage
