"""Nothing leaves a deployed server unsigned, and a cohort's shared content is signed once."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from everbloom.errors import PrivacyError
from everbloom.signing import signer
from everbloom.wire import TRAIN
from server import signed_grid
from server.signed_grid import SignedGrid
from simulation.grid import InProcessGrid, identify


def content() -> RecordDict:
    return RecordDict({"a": ArrayRecord({"v": Array(np.arange(3.0))}), "c": ConfigRecord({"x": 1})})


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.mark.parametrize("way", ["send_and_receive", "push_messages"])
def test_every_content_is_signed_once(key, way, monkeypatch):
    identify()
    sent: list[Message] = []
    grid = SignedGrid(InProcessGrid(3, lambda messages: sent.extend(messages) or messages), key)
    times: list[int] = []
    inner = signed_grid.sign
    monkeypatch.setattr(signed_grid, "sign", lambda one, key: times.append(1) or inner(one, key))
    shared, own = content(), content()
    messages = [Message(shared, dst_node_id=100 + n, message_type=TRAIN) for n in range(2)]
    messages.append(Message(own, dst_node_id=102, message_type=TRAIN))
    if way == "push_messages":
        list(grid.pull_messages(grid.push_messages(messages)))
    else:
        list(grid.send_and_receive(messages))
    assert len(times) == 2
    public = key.public_key().public_bytes_raw().hex()
    assert [signer(message.content) for message in sent] == [public] * 3
    sent[0].content["c"]["x"] = 2
    with pytest.raises(PrivacyError, match="signature does not hold"):
        signer(sent[0].content)
