"""The ClientApp on a device's folder: who it says it is, and what it says when there is no device."""

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.app import app
from client.store import DeviceStore
from everbloom.data.catalog import Catalog
from everbloom.data.events import EventLog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError, SchemaError
from everbloom.wire import HELLO, TRAIN


def log_of(users: int) -> EventLog:
    """Two events a user."""
    rows = 2 * users
    return EventLog.build(
        user=np.repeat(np.arange(users, dtype=np.int32), 2),
        item=np.arange(rows, dtype=np.int32) % 3,
        time=np.arange(rows, dtype=np.int64),
        behaviour=np.zeros(rows, dtype=np.uint8),
        value=np.ones(rows, dtype=np.float32),
        user_ids=StringColumn.of(f"u{user}" for user in range(users)),
    )


def catalogue() -> Catalog:
    return Catalog(StringColumn.of("abc"), {}, {}, np.zeros(3, dtype=np.int64))


def ask(folder: object, message_type: str = HELLO) -> Message:
    """The reply of a node that was started with this `store`."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    message = Message(RecordDict(), dst_node_id=9, message_type=message_type)
    config = {} if folder is None else {"store": str(folder)}
    context = Context(run_id=1, node_id=9, node_config=config, state=RecordDict(), run_config={})
    return app(message, context)


def test_a_device_says_its_number_and_nothing_else(tmp_path):
    DeviceStore.create(tmp_path / "d", 41, log_of(1), catalogue())
    content = ask(tmp_path / "d").content
    assert list(content) == ["hello"]
    assert dict(content.config_records["hello"]) == {"client": 41}


def test_a_node_without_a_store():
    with pytest.raises(DataError, match="this SuperNode has no device: start it with --node-config"):
        ask(None)


def test_a_folder_without_a_device(tmp_path):
    with pytest.raises(DataError, match="no device here"):
        ask(tmp_path)


def test_a_device_of_two_users_is_refused(tmp_path):
    DeviceStore.create(tmp_path / "d", 0, log_of(2), catalogue())
    with pytest.raises(DataError, match="a device holds one user, this log has 2"):
        ask(tmp_path / "d")


def test_a_device_is_not_written_over(tmp_path):
    DeviceStore.create(tmp_path / "d", 0, log_of(1), catalogue())
    with pytest.raises(DataError, match="there is a device here already"):
        DeviceStore.create(tmp_path / "d", 1, log_of(1), catalogue())
    assert dict(ask(tmp_path / "d").content.config_records["hello"]) == {"client": 0}


def test_a_message_that_is_no_task(tmp_path):
    store = DeviceStore.create(tmp_path / "d", 0, log_of(1), catalogue())
    with pytest.raises(SchemaError, match="message is no task of this version of everbloom"):
        ask(tmp_path / "d", TRAIN)
    assert store.open().ledger.account().reservations == (), "nothing was charged"
