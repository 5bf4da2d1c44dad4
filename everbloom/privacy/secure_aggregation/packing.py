"""Bytes of messages: fields of fixed size, big-endian 8-byte numbers, ascending numbered lists. A message has one encoding, so it can be hashed."""

from collections.abc import Iterable
from enum import IntEnum
from itertools import pairwise

from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.keys import number
from everbloom.privacy.secure_aggregation.terms import TERMS_SIZE, Terms

Numbered = tuple[tuple[int, bytes], ...]
"""(device, its bytes) in strictly ascending order of the device's number."""

_MAGIC = b"everbloom secagg 1 "


class Kind(IntEnum):
    """What a message is; in its first bytes, so that one is never read as another."""

    ADVERTISE = 1
    ADVERTISEMENT = 2
    SHARE = 3
    SEALED = 4
    MASK = 5
    MASKED = 6
    CONFIRM = 7
    CONFIRMATION = 8
    UNMASK = 9
    REVEAL = 10


def head(kind: Kind) -> bytes:
    """How every message begins."""
    return _MAGIC + bytes([kind])


def pack_numbered(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """A count, then (number, bytes) each; all bytes of a list have one size."""
    parts = [number(device) + data for device, data in entries]
    return number(len(parts)) + b"".join(parts)


class Reader:
    """Reads one message of one kind. Every method raises `SchemaError` for bytes that `pack` would not have written."""

    def __init__(self, data: bytes, kind: Kind) -> None:
        self._data, self._at, self._kind = bytes(data), 0, kind
        if self.take(len(_MAGIC) + 1) != head(kind):
            raise self.unreadable("it is of another kind or version")

    def unreadable(self, why: str) -> SchemaError:
        """The error for this message."""
        return SchemaError(f"bytes are no {self._kind.name.lower()} message of secure aggregation: {why}")

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > len(self._data) - self._at:
            raise self.unreadable("it is too short")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self) -> int:
        """A device's number, or a count: below 2^63."""
        value = int.from_bytes(self.take(8), "big")
        if value >= 2**63:
            raise self.unreadable("a number is too large")
        return value

    def numbered(self, size: int) -> Numbered:
        """A list of `pack_numbered` with `size` bytes each."""
        count = self.number()
        if count * (8 + size) > len(self._data) - self._at:
            raise self.unreadable("it is too short")
        entries = tuple((self.number(), self.take(size)) for _ in range(count))
        if any(one >= other for (one, _), (other, _) in pairwise(entries)):
            raise self.unreadable("device numbers do not ascend")
        return entries

    def terms(self) -> Terms:
        """`Terms`, whose values are in range."""
        try:
            return Terms.unpack(self.take(TERMS_SIZE))
        except PrivacyError as error:
            raise self.unreadable(str(error)) from None

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise self.unreadable(f"{len(self._data) - self._at} bytes too many")
