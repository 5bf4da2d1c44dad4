"""A device's side: five questions, each answered from its long-term secret and the request alone.

Between them it remembers nothing but its `Record`. It fails closed: whatever does not fit raises `PrivacyError` (`SchemaError` for bytes that are no
message) with one line, and nothing leaves the device.
"""

import hashlib
from collections.abc import Mapping

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, agree, identity, identity_key
from everbloom.privacy.secure_aggregation.masks import (
    MaskStream,
    Vector,
    check_vector,
    pair_mask_key,
    reduce,
    self_mask_key,
)
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
from everbloom.privacy.secure_aggregation.packing import Numbered, pack_numbered
from everbloom.privacy.secure_aggregation.record import Record, pin
from everbloom.privacy.secure_aggregation.roster import Member, Session
from everbloom.privacy.secure_aggregation.sealing import (
    OpenedShares,
    open_shares,
    seal_shares,
    seed_commitment,
    self_mask_seed,
)
from everbloom.privacy.secure_aggregation.survivors import (
    check_confirmations,
    check_place,
    check_survivors,
    confirmation_statement,
)
from everbloom.privacy.secure_aggregation.terms import Policy, Terms


class SecureDevice:
    """Device number `device` with its 32-byte `secret`; `directory` has the Ed25519 identity [32 bytes] of every device it may meet, itself included.

    Raises `PrivacyError` if the directory knows it under another identity.
    """

    def __init__(
        self, device: int, secret: bytes, directory: Mapping[int, bytes], record: Record, policy: Policy | None = None
    ) -> None:
        if len(secret) != 32:
            raise PrivacyError(f"secure aggregation: a device's secret has 32 bytes, not {len(secret)}")
        if directory.get(device) != identity(secret):
            raise PrivacyError(
                f"secure aggregation: the directory does not have this device's identity as device {device}"
            )
        self.device = device
        self._secret = secret
        self._directory = directory
        self._record = record
        self._policy = policy if policy is not None else Policy()

    @property
    def identity(self) -> bytes:
        """[32 bytes] by which the other devices' directories know it."""
        return self._directory[self.device]

    def advertise(self, request: bytes) -> bytes:
        """Stage keys: `AdvertiseRequest` -> `Advertisement`."""
        terms = AdvertiseRequest.unpack(request).terms
        self._policy.check(terms)
        sealing, masking = EphemeralKeys.derive(self._secret, terms.context).public
        statement = Member.statement(terms.context, self.device, sealing, masking)
        signature = identity_key(self._secret).sign(statement)
        return Advertisement(terms.context, Member(self.device, sealing, masking, signature)).pack()

    def share(self, request: bytes) -> bytes:
        """Stage shares: `ShareRequest` -> `SealedShares`. From here on this device takes part with this roster or, in this attempt, not at all."""
        session = ShareRequest.unpack(request).session
        keys = self._join(session)
        session.roster.authenticate(session.terms, self._directory)
        pin(self._record, _name(session.terms, "roster"), session.binding, "another roster")
        seed = self_mask_seed(self._secret, session)
        outbox = seal_shares(session, self.device, self._secret, keys, seed)
        return SealedShares(session.binding, self.device, seed_commitment(seed, session), outbox).pack()

    def mask(self, request: bytes, vector: Vector) -> bytes:
        """Stage masked: `MaskRequest` and this device's vector [length] -> `MaskedVector`. `vector` is left as it is.

        Asked again it answers the same for the same vector, and refuses another one: two vectors under one mask would show their difference.
        Raises `SchemaError` for a vector of another dtype, shape or range.
        """
        asked = MaskRequest.unpack(request)
        session, terms = asked.session, asked.session.terms
        keys = self._resume(session)
        check_vector(vector, terms)
        self._open(session, keys, asked.inbox)
        data = vector.tobytes()
        committed = session.binding + _digest(asked.inbox) + hashlib.sha256(session.binding + data).digest()
        pin(self._record, _round_name(terms, "masked"), committed, "another vector, roster or set of shares")
        masked, stream = vector.copy(), MaskStream(terms)
        stream.add(masked, self_mask_key(self_mask_seed(self._secret, session), session.binding, self.device))
        for peer, _ in asked.inbox:
            shared = agree(keys.masking, session.members[peer].masking)
            key = pair_mask_key(shared, session.binding, self.device, peer)
            if self.device < peer:
                stream.add(masked, key)
            else:
                stream.subtract(masked, key)
        return MaskedVector(session.binding, self.device, reduce(masked, terms).tobytes()).pack()

    def confirm(self, request: bytes) -> bytes:
        """Stage confirm: `ConfirmRequest` -> `Confirmation`."""
        asked = ConfirmRequest.unpack(request)
        session = asked.session
        self._resume(session)
        self._masked_inbox(session)
        check_survivors(session, asked.survivors)
        check_place(session, self.device, asked.survivors)
        statement = confirmation_statement(session, asked.survivors)
        self._pin_survivors(session, statement)
        return Confirmation(session.binding, self.device, identity_key(self._secret).sign(statement)).pack()

    def unmask(self, request: bytes) -> bytes:
        """Stage unmask: `UnmaskRequest` -> `Reveal`: of each neighbour that shared, one share, of its seed or of its key and never both."""
        asked = UnmaskRequest.unpack(request)
        session = asked.session
        keys = self._resume(session)
        if self._masked_inbox(session) != _digest(asked.inbox):
            raise PrivacyError("secure aggregation: these are not the shares that this device masked with")
        check_survivors(session, asked.survivors)
        check_place(session, self.device, asked.survivors)
        check_confirmations(session, asked.survivors, asked.confirmations, self._directory)
        opened = self._open(session, keys, asked.inbox)
        alive = set(asked.survivors)
        for neighbour in session.graph.neighbours(self.device):
            if neighbour in alive and neighbour not in opened:
                raise PrivacyError(
                    f"secure aggregation: device {neighbour} survived, yet this device has no mask with it"
                )
        self._pin_survivors(session, confirmation_statement(session, asked.survivors))
        return Reveal(
            session.binding,
            self.device,
            seeds=tuple((peer, shares.seed) for peer, shares in opened.items() if peer in alive),
            keys=tuple((peer, shares.key) for peer, shares in opened.items() if peer not in alive),
        ).pack()

    def _join(self, session: Session) -> EphemeralKeys:
        """This device's keys, if the policy allows the terms and the roster has it with just these keys."""
        self._policy.check(session.terms)
        keys = EphemeralKeys.derive(self._secret, session.terms.context)
        listed = session.members.get(self.device)
        if listed is None or (listed.sealing, listed.masking) != keys.public:
            raise PrivacyError(f"secure aggregation: the roster does not have device {self.device} with its own keys")
        return keys

    def _resume(self, session: Session) -> EphemeralKeys:
        """As `_join`, for a roster whose signatures this device has verified before."""
        keys = self._join(session)
        if self._record.get(_name(session.terms, "roster")) != session.binding:
            raise PrivacyError(
                "secure aggregation: this device has shared its secrets with another roster, or not at all"
            )
        return keys

    def _open(self, session: Session, keys: EphemeralKeys, inbox: Numbered) -> Mapping[int, OpenedShares]:
        neighbours = set(session.graph.neighbours(self.device))
        if any(sender not in neighbours for sender, _ in inbox):
            raise PrivacyError("secure aggregation: shares from a device that is no neighbour")
        if len(inbox) < session.shares_needed:
            raise PrivacyError(
                f"secure aggregation: {len(inbox)} of {len(neighbours)} neighbours shared, {session.shares_needed} are needed"
            )
        return open_shares(session, self.device, keys, inbox)

    def _masked_inbox(self, session: Session) -> bytes:
        """The digest of the shares that this device masked its vector with."""
        committed = self._record.get(_round_name(session.terms, "masked"))
        if committed is None or committed[:32] != session.binding:
            raise PrivacyError("secure aggregation: this device has sent no masked vector to this roster")
        return committed[32:64]

    def _pin_survivors(self, session: Session, statement: bytes) -> None:
        pin(self._record, _name(session.terms, "survivors"), hashlib.sha256(statement).digest(), "other survivors")


def _digest(inbox: Numbered) -> bytes:
    return hashlib.sha256(b"inbox" + pack_numbered(inbox)).digest()


def _round_name(terms: Terms, what: str) -> str:
    return f"{terms.run}-{terms.period}-{terms.round}-{what}"


def _name(terms: Terms, what: str) -> str:
    return f"{terms.run}-{terms.period}-{terms.round}-{terms.attempt}-{what}"
