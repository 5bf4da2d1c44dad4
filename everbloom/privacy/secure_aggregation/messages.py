"""What the server and a device send each other: five requests, five replies, with `pack` to bytes and `unpack`, which raises `SchemaError`."""

from dataclasses import dataclass

from everbloom.privacy.secure_aggregation.keys import KEY, SIGNATURE, number
from everbloom.privacy.secure_aggregation.packing import Kind, Numbered, Reader, head, pack_numbered
from everbloom.privacy.secure_aggregation.roster import MEMBER_SIZE, Member, Roster, Session
from everbloom.privacy.secure_aggregation.sealing import SEALED
from everbloom.privacy.secure_aggregation.shamir import SHARE
from everbloom.privacy.secure_aggregation.terms import TERMS_SIZE, Terms


def read_terms(request: bytes) -> Terms:
    """The terms of any request: for a caller to compare run, period and round with the task that came with it. Raises `SchemaError`."""
    start = len(head(Kind.ADVERTISE))
    for kind in (Kind.ADVERTISE, Kind.SHARE, Kind.MASK, Kind.CONFIRM, Kind.UNMASK):
        if request[:start] == head(kind):
            return Reader(request[: start + TERMS_SIZE], kind).terms()
    raise Reader(head(Kind.ADVERTISE), Kind.ADVERTISE).unreadable("it is no request")


@dataclass(frozen=True)
class AdvertiseRequest:
    """Stage keys, to everyone."""

    terms: Terms

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.ADVERTISE) + self.terms.pack()

    @classmethod
    def unpack(cls, data: bytes) -> "AdvertiseRequest":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.ADVERTISE)
        found = cls(reader.terms())
        reader.end()
        return found


@dataclass(frozen=True)
class Advertisement:
    """Stage keys, the answer: this device's signed keys."""

    context: bytes
    member: Member

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.ADVERTISEMENT) + self.context + number(self.member.device) + self.member.pack()

    @classmethod
    def unpack(cls, data: bytes) -> "Advertisement":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.ADVERTISEMENT)
        found = cls(reader.take(KEY), Member.unpack(reader.number(), reader.take(MEMBER_SIZE)))
        reader.end()
        return found


@dataclass(frozen=True)
class ShareRequest:
    """Stage shares, to everyone on the roster."""

    session: Session

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.SHARE) + _pack_session(self.session)

    @classmethod
    def unpack(cls, data: bytes) -> "ShareRequest":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.SHARE)
        found = cls(_session(reader))
        reader.end()
        return found


@dataclass(frozen=True)
class SealedShares:
    """Stage shares, the answer: for each neighbour its shares [82 bytes]; `commitment` lets the server notice a wrongly recovered seed."""

    binding: bytes
    device: int
    commitment: bytes
    outbox: Numbered

    def pack(self) -> bytes:
        """As bytes."""
        start = head(Kind.SEALED) + self.binding + number(self.device) + self.commitment
        return start + pack_numbered(self.outbox)

    @classmethod
    def unpack(cls, data: bytes) -> "SealedShares":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.SEALED)
        found = cls(reader.take(KEY), reader.number(), reader.take(KEY), reader.numbered(SEALED))
        reader.end()
        return found


@dataclass(frozen=True)
class MaskRequest:
    """Stage masked, to each that shared: what its neighbours sealed for it, by sender."""

    session: Session
    inbox: Numbered

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.MASK) + _pack_session(self.session) + pack_numbered(self.inbox)

    @classmethod
    def unpack(cls, data: bytes) -> "MaskRequest":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.MASK)
        found = cls(_session(reader), reader.numbered(SEALED))
        reader.end()
        return found


@dataclass(frozen=True)
class MaskedVector:
    """Stage masked, the answer: `vector` is little endian, of `Terms.dtype`."""

    binding: bytes
    device: int
    vector: bytes

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.MASKED) + self.binding + number(self.device) + number(len(self.vector)) + self.vector

    @classmethod
    def unpack(cls, data: bytes) -> "MaskedVector":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.MASKED)
        found = cls(reader.take(KEY), reader.number(), reader.take(reader.number()))
        reader.end()
        return found


@dataclass(frozen=True)
class ConfirmRequest:
    """Stage confirm, to each survivor: whose vectors arrived, in ascending order."""

    session: Session
    survivors: tuple[int, ...]

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.CONFIRM) + _pack_session(self.session) + _pack_devices(self.survivors)

    @classmethod
    def unpack(cls, data: bytes) -> "ConfirmRequest":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.CONFIRM)
        found = cls(_session(reader), _devices(reader))
        reader.end()
        return found


@dataclass(frozen=True)
class Confirmation:
    """Stage confirm, the answer: a signature [64 bytes] of session and survivors."""

    binding: bytes
    device: int
    signature: bytes

    def pack(self) -> bytes:
        """As bytes."""
        return head(Kind.CONFIRMATION) + self.binding + number(self.device) + self.signature

    @classmethod
    def unpack(cls, data: bytes) -> "Confirmation":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.CONFIRMATION)
        found = cls(reader.take(KEY), reader.number(), reader.take(SIGNATURE))
        reader.end()
        return found


@dataclass(frozen=True)
class UnmaskRequest:
    """Stage unmask, to each that confirmed: who signed the survivors, and its inbox once more, as it kept nothing."""

    session: Session
    inbox: Numbered
    survivors: tuple[int, ...]
    confirmations: Numbered

    def pack(self) -> bytes:
        """As bytes."""
        start = head(Kind.UNMASK) + _pack_session(self.session) + pack_numbered(self.inbox)
        return start + _pack_devices(self.survivors) + pack_numbered(self.confirmations)

    @classmethod
    def unpack(cls, data: bytes) -> "UnmaskRequest":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.UNMASK)
        found = cls(_session(reader), reader.numbered(SEALED), _devices(reader), reader.numbered(SIGNATURE))
        reader.end()
        return found


@dataclass(frozen=True)
class Reveal:
    """Stage unmask, the answer: shares [33 bytes] of the seeds of neighbours that survived and of the masking keys of those that did not."""

    binding: bytes
    device: int
    seeds: Numbered
    keys: Numbered

    def pack(self) -> bytes:
        """As bytes."""
        start = head(Kind.REVEAL) + self.binding + number(self.device)
        return start + pack_numbered(self.seeds) + pack_numbered(self.keys)

    @classmethod
    def unpack(cls, data: bytes) -> "Reveal":
        """The inverse of `pack`."""
        reader = Reader(data, Kind.REVEAL)
        found = cls(reader.take(KEY), reader.number(), reader.numbered(SHARE), reader.numbered(SHARE))
        reader.end()
        return found


def _pack_session(session: Session) -> bytes:
    return session.terms.pack() + pack_numbered(session.roster.entries)


def _session(reader: Reader) -> Session:
    terms = reader.terms()
    members = (Member.unpack(device, data) for device, data in reader.numbered(MEMBER_SIZE))
    return Session(terms, Roster(tuple(members)))


def _pack_devices(devices: tuple[int, ...]) -> bytes:
    return pack_numbered((device, b"") for device in devices)


def _devices(reader: Reader) -> tuple[int, ...]:
    return tuple(device for device, _ in reader.numbered(0))
