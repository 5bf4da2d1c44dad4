"""The roll call: which node is which client, and what is wrong when it does not add up."""

from collections.abc import Iterable

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.task_identity import TaskIdentity

from everbloom.errors import InputError
from everbloom.wire import HELLO
from server.roster import call_roll


class Devices:
    """A grid of nodes that say what they are told to say: a client number, an error's reason, or nothing (None)."""

    def __init__(self, says: dict[int, object], late: int = 0) -> None:
        self.says = says
        self.late = late
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def get_node_ids(self) -> Iterable[int]:
        self.late -= 1
        return list(self.says) if self.late < 0 else list(self.says)[:1]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        for message in messages:
            assert message.metadata.message_type == HELLO
            said = self.says[message.metadata.dst_node_id]
            if isinstance(said, str):
                yield Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, said), reply_to=message)
            elif said is not None:
                yield Message(RecordDict({"hello": ConfigRecord({"client": said})}), reply_to=message)


NODE = 2**63 + 7
"""Flower's node ids need 64 bits without a sign."""


def test_clients_are_found_whatever_their_node_ids():
    assert call_roll(Devices({NODE: 1, 12: 0}), 2, 1.0, population=2) == {1: NODE, 0: 12}


def test_more_devices_than_expected_all_take_part():
    assert len(call_roll(Devices({4: 0, 5: 1, 6: 2}), 2, 1.0, population=3)) == 3


def test_waits_for_devices_that_come_later():
    assert call_roll(Devices({4: 0, 5: 1}, late=1), 2, 5.0, population=2) == {0: 4, 1: 5}


def test_too_few_devices_in_time():
    with pytest.raises(InputError, match="1 of 3 devices connected within 0 s; start more SuperNodes"):
        call_roll(Devices({4: 0}), 3, 0.01, population=3)


@pytest.mark.parametrize(
    ("said", "told"), [("no store here", "no store here"), (None, "the others were silent for 1 s")]
)
def test_a_device_that_cannot_say_who_it_is(said, told):
    with pytest.raises(InputError, match=f"1 of 2 devices said which client they are, .*{told}"):
        call_roll(Devices({4: 0, 5: said}), 2, 1.0, population=2)


def test_one_that_cannot_is_left_out_where_enough_others_can():
    assert call_roll(Devices({4: 0, 5: "no store here", 6: 1}), 2, 1.0, population=2) == {0: 4, 1: 6}


def test_two_devices_claim_one_client():
    with pytest.raises(InputError, match="two devices say they are client 0; give each its own store"):
        call_roll(Devices({4: 0, 5: 0}), 2, 1.0, population=2)


@pytest.mark.parametrize("said", [2, -1, 0.5])
def test_a_number_that_is_no_user(said):
    with pytest.raises(InputError, match=r"a device says it is client .*; expected a number from 0 to 1"):
        call_roll(Devices({4: 0, 5: said}), 2, 1.0, population=2)
