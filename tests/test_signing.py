"""Signed tasks: any change is noticed, and only Ed25519 over everything else that a message holds counts."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common import Array
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from everbloom.errors import PrivacyError, SchemaError
from everbloom.signing import SIGNED, sign, signer

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def content() -> RecordDict:
    return RecordDict(
        {
            "parameters": ArrayRecord({"flat": Array(np.arange(4, dtype=np.float32))}),
            "task": ConfigRecord({"round": 3, "terms": "{}", "window": [1, 2], "share": 0.5, "data": b"xy"}),
        }
    )


def test_the_signer_is_known_after_the_way_over_the_network():
    signed = content()
    assert signer(signed) is None
    sign(signed, KEY)
    sign(signed, KEY)
    assert signer(signed) == PUBLIC
    assert signer(recorddict_from_proto(recorddict_to_proto(signed))) == PUBLIC


def _round(signed: RecordDict) -> None:
    signed.config_records["task"]["round"] = 4


def _parameters(signed: RecordDict) -> None:
    signed.array_records["parameters"]["flat"] = Array(np.arange(1, 5, dtype=np.float32))


def _shape(signed: RecordDict) -> None:
    signed.array_records["parameters"]["flat"] = Array(np.arange(4, dtype=np.float32).reshape(2, 2))


def _more(signed: RecordDict) -> None:
    signed["more"] = ConfigRecord({"unit": "none"})


def _less(signed: RecordDict) -> None:
    del signed["parameters"]


def _number_as_text(signed: RecordDict) -> None:
    signed.config_records["task"]["round"] = "3"


def _bytes_as_text(signed: RecordDict) -> None:
    signed.config_records["task"]["terms"] = b'"{}"'


def _moved(signed: RecordDict) -> None:
    task = signed.config_records["task"]
    task["a"], task["b"] = task["data"][:1], task["data"][1:]
    del task["data"]


def _key(signed: RecordDict) -> None:
    signed.config_records[SIGNED]["key"] = bytes(32)


@pytest.mark.parametrize(
    "change", [_round, _parameters, _shape, _more, _less, _number_as_text, _bytes_as_text, _moved, _key]
)
def test_any_change_is_noticed(change):
    signed = content()
    sign(signed, KEY)
    change(signed)
    with pytest.raises(PrivacyError, match="signature does not hold; it was changed on the way"):
        signer(signed)


@pytest.mark.parametrize("record", [{}, {"key": "text", "signature": b""}, {"key": b"short", "signature": b"x"}])
def test_what_is_no_signature_is_refused(record):
    signed = content()
    signed[SIGNED] = ConfigRecord(record)
    with pytest.raises(PrivacyError, match="signature"):
        signer(signed)


def test_records_of_other_kinds_are_not_signed():
    signed = content()
    signed["loss"] = MetricRecord({"loss": 1.0})
    with pytest.raises(SchemaError, match="record 'loss': only arrays and configuration can be signed"):
        sign(signed, KEY)
