"""What one aggregation is called and how strict it is; and what a device insists on, whatever a server asks for."""

import hashlib
import struct
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np

from everbloom.errors import PrivacyError

_LAYOUT = struct.Struct(">10Q")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The public parameters of one aggregation. All devices of it have the same: its digest, `context`, is in every key, mask and signature.

    Raises `PrivacyError` when a value is out of range.
    """

    run: int
    period: int
    round: int
    attempt: int = 0
    """Another try at a round that failed before vectors were masked; a device that has masked one in this round refuses to mask again."""
    length: int
    """Coordinates of a vector."""
    bits: int = 32
    """Sums are mod 2^bits, 1 to 32; vectors are uint16 up to 16 bits, uint32 above."""
    minimum: int = 10
    """Fewest devices on a roster and among the survivors; at least 3 (with 2, each knows the other's vector)."""
    threshold: int = 51
    """Percent of a device's neighbours whose shares recover its secret. Above 50, one secret of the two at most, if none of them colludes."""
    quorum: int = 66
    """Percent of the roster that must sign one survivor list before it is acted on: two lists need 2 quorum - 100 percent that sign both."""
    degree: int = 64
    """Neighbours of a device; members - 1 or more gives the complete graph. For 64, with 10% colluding and 20% dropping out, the chance that the
    server reaches one secret too many is 2^-49 among 1,000 devices and 2^-40 among 10,000, that a sum cannot be opened 2^-15 and 2^-10
    (`graph.failure`)."""

    def __post_init__(self) -> None:
        limits = {
            "run": (0, 2**64 - 1),
            "period": (0, 2**63 - 1),
            "round": (0, 2**63 - 1),
            "attempt": (0, 2**63 - 1),
            "length": (1, 2**40),
            "bits": (1, 32),
            "minimum": (3, 2**31),
            "threshold": (1, 100),
            "quorum": (1, 100),
            "degree": (2, 2**31),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise PrivacyError(f"secure aggregation: {name} = {value}, expected {low} to {high}")

    def pack(self) -> bytes:
        """80 bytes."""
        return _LAYOUT.pack(*astuple(self))

    @classmethod
    def unpack(cls, data: bytes) -> "Terms":
        """The inverse of `pack`, for `SIZE` bytes."""
        run, period, round, attempt, length, bits, minimum, threshold, quorum, degree = _LAYOUT.unpack(data)
        return cls(
            run=run,
            period=period,
            round=round,
            attempt=attempt,
            length=length,
            bits=bits,
            minimum=minimum,
            threshold=threshold,
            quorum=quorum,
            degree=degree,
        )

    @cached_property
    def context(self) -> bytes:
        """32 bytes that name this aggregation under these terms and no other."""
        return hashlib.sha256(b"everbloom secure aggregation, version 1" + self.pack()).digest()

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Of vectors, in memory and (little endian) as bytes."""
        return np.dtype("<u2" if self.bits <= 16 else "<u4")

    def shares_needed(self, neighbours: int) -> int:
        """Shamir threshold among so many neighbours, at least 2."""
        return max(2, _percent(self.threshold, neighbours))

    def confirmations_needed(self, members: int) -> int:
        """Signatures of one survivor list that a device waits for, given so many on the roster."""
        return max(self.minimum, _percent(self.quorum, members))


TERMS_SIZE = _LAYOUT.size


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The weakest terms that a device's owner accepts."""

    minimum: int = 10
    threshold: int = 51
    quorum: int = 66
    degree: int = 64

    def check(self, terms: Terms) -> None:
        """Raises `PrivacyError` for weaker terms."""
        for name in ("minimum", "threshold", "quorum", "degree"):
            asked, least = getattr(terms, name), getattr(self, name)
            if asked < least:
                raise PrivacyError(
                    f"secure aggregation: the server asks for {name} = {asked}, this device accepts {least} or more"
                )


def _percent(percent: int, count: int) -> int:
    return -(-percent * count // 100)
