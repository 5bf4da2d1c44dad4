"""The roster: who takes part, with signed keys; and what both sides compute from it and the terms."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.graph import NeighbourGraph
from everbloom.privacy.secure_aggregation.keys import KEY, SIGNATURE, number, verify
from everbloom.privacy.secure_aggregation.packing import Numbered
from everbloom.privacy.secure_aggregation.terms import Terms

MEMBER_SIZE = 2 * KEY + SIGNATURE


@dataclass(frozen=True)
class Member:
    """One device's advertised keys: 32, 32 and 64 bytes."""

    device: int
    sealing: bytes
    masking: bytes
    signature: bytes

    @staticmethod
    def statement(context: bytes, device: int, sealing: bytes, masking: bytes) -> bytes:
        """What the device's identity signs."""
        return b"everbloom secure aggregation: keys" + context + number(device) + sealing + masking

    def pack(self) -> bytes:
        """`MEMBER_SIZE` bytes, without the number."""
        return self.sealing + self.masking + self.signature

    @classmethod
    def unpack(cls, device: int, data: bytes) -> "Member":
        """The inverse of `pack`."""
        return cls(device, data[:KEY], data[KEY : 2 * KEY], data[2 * KEY :])

    def authenticate(self, context: bytes, directory: Mapping[int, bytes]) -> None:
        """Raises `PrivacyError` unless the identity that the directory has for this number signed the keys for this aggregation."""
        known = directory.get(self.device)
        if known is None:
            raise PrivacyError(f"secure aggregation: device {self.device} is not in the directory")
        if not verify(known, self.signature, self.statement(context, self.device, self.sealing, self.masking)):
            raise PrivacyError(
                f"secure aggregation: the keys of device {self.device} are not signed by it for this round"
            )


@dataclass(frozen=True)
class Roster:
    """The members in ascending order of their numbers. Raises `SchemaError` for another order."""

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        devices = [member.device for member in self.members]
        if any(one >= other for one, other in pairwise(devices)):
            raise SchemaError("secure aggregation: the roster names a device twice, or is not in order")

    @property
    def entries(self) -> Numbered:
        """As in messages."""
        return tuple((member.device, member.pack()) for member in self.members)

    @cached_property
    def digest(self) -> bytes:
        """32 bytes over numbers and keys. Signatures are left out: a signer can make several for one statement."""
        parts = (number(member.device) + member.sealing + member.masking for member in self.members)
        return hashlib.sha256(b"roster" + b"".join(parts)).digest()

    def authenticate(self, terms: Terms, directory: Mapping[int, bytes]) -> None:
        """Raises `PrivacyError` unless there are `minimum` or more, each with an identity and keys of its own, signed for this aggregation."""
        if len(self.members) < terms.minimum:
            raise PrivacyError(
                f"secure aggregation: a cohort of {len(self.members)} is below the minimum of {terms.minimum}"
            )
        for member in self.members:
            member.authenticate(terms.context, directory)
        keys = [key for member in self.members for key in (member.sealing, member.masking)]
        identities = [directory[member.device] for member in self.members]
        if len(set(keys)) != len(keys) or len(set(identities)) != len(identities):
            raise PrivacyError("secure aggregation: two members of the roster have the same key")


@dataclass(frozen=True)
class Session:
    """Terms and roster together, and what follows from them."""

    terms: Terms
    roster: Roster

    @cached_property
    def binding(self) -> bytes:
        """32 bytes that name this aggregation among these members and no others; in every mask, sealed share and confirmation."""
        return hashlib.sha256(b"binding" + self.terms.context + self.roster.digest).digest()

    @cached_property
    def members(self) -> dict[int, Member]:
        """By number, ascending."""
        return {member.device: member for member in self.roster.members}

    @cached_property
    def points(self) -> dict[int, int]:
        """Where each device's shares lie on the polynomials: 1, 2, ... in order of the roster."""
        return {device: place for place, device in enumerate(self.members, start=1)}

    @cached_property
    def graph(self) -> NeighbourGraph:
        """Who masks with whom."""
        return NeighbourGraph(hashlib.sha256(b"graph" + self.binding).digest(), tuple(self.members), self.terms.degree)

    @cached_property
    def shares_needed(self) -> int:
        """The Shamir threshold: the same for all, as all have as many neighbours."""
        return self.terms.shares_needed(self.graph.degree)

    @cached_property
    def confirmations_needed(self) -> int:
        """How many must have signed one survivor list."""
        return self.terms.confirmations_needed(len(self.members))
