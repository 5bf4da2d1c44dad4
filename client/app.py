"""The Flower ClientApp: unpack a task, let the device train, pack the update. A simulation builds the same app over devices in memory."""

from collections.abc import Callable
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.device import Device
from client.store import DeviceStore
from everbloom.errors import DataError
from everbloom.wire import HELLO, TRAIN, Task


def make_app(open_device: Callable[[Context], Device]) -> ClientApp:
    """A ClientApp whose devices come from `open_device`."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        update = open_device(context).train(Task.unpack(message.content))
        return Message(update.pack(), reply_to=message)

    @app.query("hello")
    def hello(message: Message, context: Context) -> Message:
        """Which client this node is: what a server needs to draw the same cohorts whatever node ids Flower gave."""
        return Message(RecordDict({"hello": ConfigRecord({"client": open_device(context).client})}), reply_to=message)

    assert (TRAIN, HELLO) == ("train", "query.hello")
    return app


def _stored_device(context: Context) -> Device:
    store = context.node_config.get("store")
    if not isinstance(store, str):
        raise DataError("this SuperNode has no device: start it with --node-config 'store=\"DIR\"'")
    return DeviceStore(Path(store)).open()


app = make_app(_stored_device)
