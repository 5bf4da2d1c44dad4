"""A server's signature on what it sends to devices: Ed25519 over SHA-256 of the content, so that a device answers to its own server's tasks alone.

A message's transport is signed by Flower's node authentication between node and link; that says nothing of who wrote the task. This does.
"""

import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from everbloom.errors import PrivacyError, SchemaError

SIGNED = "signed"
"""The record that holds key and signature."""

_CONTEXT = b"everbloom task 1\n"


def sign(content: RecordDict, key: Ed25519PrivateKey) -> None:
    """Adds the signature of everything that the content holds; sign last."""
    content.pop(SIGNED, None)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    content[SIGNED] = ConfigRecord({"key": public, "signature": key.sign(_CONTEXT + _digest(content))})


def signer(content: RecordDict) -> str | None:
    """The public key, in hexadecimal, that signed the content; None if it is not signed. Raises `PrivacyError` if the signature does not hold."""
    if SIGNED not in content:
        return None
    record = content[SIGNED]
    key, signature = record.get("key"), record.get("signature")
    if not isinstance(key, bytes) or not isinstance(signature, bytes):
        raise PrivacyError("refused: the message's signature is none of this version of everbloom")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _CONTEXT + _digest(content))
    except (InvalidSignature, ValueError):
        raise PrivacyError("refused: the message's signature does not hold; it was changed on the way") from None
    return key.hex()


def _digest(content: RecordDict) -> bytes:
    """SHA-256 over every record but the signature's, by name, each field with its length, so that no two contents read alike."""
    digest = hashlib.sha256()

    def add(*fields: bytes) -> None:
        for field in fields:
            digest.update(len(field).to_bytes(8, "big") + field)

    for name in sorted(content):
        record = content[name]
        if name == SIGNED:
            continue
        if isinstance(record, ArrayRecord):
            for part in sorted(record):
                array = record[part]
                add(
                    b"array",
                    name.encode(),
                    part.encode(),
                    array.dtype.encode(),
                    json.dumps(list(array.shape)).encode(),
                    array.data,
                )
        elif isinstance(record, ConfigRecord):
            for part in sorted(record):
                value = record[part]
                plain = value if isinstance(value, bytes) else json.dumps(value).encode()
                add(b"config", name.encode(), part.encode(), type(value).__name__.encode(), plain)
        else:
            raise SchemaError(f"record {name!r}: only arrays and configuration can be signed")
    return digest.digest()
