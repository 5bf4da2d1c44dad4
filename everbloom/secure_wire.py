"""What travels in the stages of secure aggregation: bytes of the protocol, in Flower's records, and nothing else."""

from typing import Literal

from flwr.app import ConfigRecord, RecordDict

from everbloom.errors import SchemaError

Stage = Literal["keys", "shares", "masked", "confirm", "unmask"]
MESSAGE_TYPES: dict[Stage, str] = {
    "keys": "query.secure_keys",
    "shares": "query.secure_shares",
    "masked": "train",
    "confirm": "query.secure_confirm",
    "unmask": "query.secure_unmask",
}
"""A masked vector is what a task is answered with; the other stages are questions."""

_RECORD = "secure"


def pack_secure(data: bytes, identity: bytes | None = None) -> RecordDict:
    """A request or a reply of any stage. `identity` goes with a device's keys, so that the server can check signatures; devices take none from it."""
    record = ConfigRecord({"data": data})
    if identity is not None:
        record["identity"] = identity
    return RecordDict({_RECORD: record})


def has_secure(content: RecordDict) -> bool:
    """Whether a task comes with a request for a masked vector."""
    return _RECORD in content.config_records


def unpack_secure(content: RecordDict, key: Literal["data", "identity"] = "data") -> bytes:
    """The inverse of `pack_secure`. Raises `SchemaError` on anything else."""
    record = content.config_records.get(_RECORD)
    data = None if record is None else record.get(key)
    if not isinstance(data, bytes):
        raise SchemaError("message holds nothing of secure aggregation where a part of it was expected")
    return data


def with_secure(content: RecordDict, data: bytes) -> RecordDict:
    """A task's content, shared and not copied, with one device's request."""
    whole = RecordDict()
    for name, record in content.items():
        whole[name] = record
    whole[_RECORD] = ConfigRecord({"data": data})
    return whole
