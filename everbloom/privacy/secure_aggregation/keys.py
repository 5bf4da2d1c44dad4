"""A device's keys: all derived from one long-term secret, so that a device needs no memory between stages.

HKDF-SHA256 (RFC 5869) derives; Ed25519 (RFC 8032) is the identity; X25519 (RFC 7748) agrees with peers. Of the two ephemeral keys one masks and one
seals: the masking key of a device that drops out is given to the server, which must not then be able to open what was sealed for that device.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from everbloom.errors import PrivacyError

KEY = 32
"""Bytes of a secret, a private and a public key."""
SIGNATURE = 64
"""Bytes."""


def number(value: int) -> bytes:
    """A device's number as 8 bytes, as in everything that is hashed or signed."""
    return value.to_bytes(8, "big")


def derive(secret: bytes, salt: bytes, purpose: str, *parts: bytes, length: int = KEY) -> bytes:
    """`length` bytes for one purpose. All `parts` of a purpose have fixed sizes, so their concatenation is unambiguous."""
    info = b"everbloom/" + purpose.encode() + b"/" + b"".join(parts)
    return HKDF(SHA256(), length, salt, info).derive(secret)


def identity_key(secret: bytes) -> Ed25519PrivateKey:
    """The device's signing key."""
    return Ed25519PrivateKey.from_private_bytes(derive(secret, b"", "identity"))


def identity(secret: bytes) -> bytes:
    """The public half [32 bytes], for the directory that every device pins."""
    return identity_key(secret).public_key().public_bytes_raw()


def verify(public: bytes, signature: bytes, statement: bytes) -> bool:
    """Whether the holder of an identity signed the statement."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class EphemeralKeys:
    """A device's keys of one aggregation: `mask` [32 bytes] is what is shared with the neighbours in case it drops out."""

    sealing: X25519PrivateKey
    masking: X25519PrivateKey
    mask: bytes

    @classmethod
    def derive(cls, secret: bytes, context: bytes) -> "EphemeralKeys":
        """From the device's long-term secret, for the aggregation named by `context`."""
        mask = derive(secret, context, "masking key")
        return cls(
            sealing=X25519PrivateKey.from_private_bytes(derive(secret, context, "sealing key")),
            masking=X25519PrivateKey.from_private_bytes(mask),
            mask=mask,
        )

    @property
    def public(self) -> tuple[bytes, bytes]:
        """The sealing key's and the masking key's public halves."""
        return self.sealing.public_key().public_bytes_raw(), self.masking.public_key().public_bytes_raw()


def masking_public(mask: bytes) -> bytes:
    """The public half of a recovered masking key."""
    return X25519PrivateKey.from_private_bytes(mask).public_key().public_bytes_raw()


def agree(private: X25519PrivateKey, public: bytes) -> bytes:
    """The secret [32 bytes] that two devices share. Raises `PrivacyError` for a public key of low order."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise PrivacyError(f"secure aggregation: an advertised key cannot be used: {error}") from None
