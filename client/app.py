"""The Flower ClientApp: unpack a task, let the device train, pack the update. A simulation builds the same app over devices in memory."""

from collections.abc import Callable
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.device import Device
from client.store import DeviceStore
from everbloom.errors import DataError, PrivacyError
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.secure_wire import has_secure, pack_secure, unpack_secure
from everbloom.wire import HELLO, TRAIN, Task


def make_app(open_device: Callable[[Context], Device]) -> ClientApp:
    """A ClientApp whose devices come from `open_device`."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        device, task = open_device(context), Task.unpack(message.content)
        if has_secure(message.content):
            return Message(pack_secure(device.train_masked(task, unpack_secure(message.content))), reply_to=message)
        return Message(device.train(task).pack(), reply_to=message)

    @app.query("hello")
    def hello(message: Message, context: Context) -> Message:
        """Which client this node is: what a server needs to draw the same cohorts whatever node ids Flower gave."""
        return Message(RecordDict({"hello": ConfigRecord({"client": open_device(context).client})}), reply_to=message)

    @app.query("secure_keys")
    def secure_keys(message: Message, context: Context) -> Message:
        """Its keys for one round, signed; and the identity that signed them, which other devices know from elsewhere."""
        secure = _secure(open_device(context))
        keys = secure.advertise(unpack_secure(message.content))
        return Message(pack_secure(keys, secure.identity), reply_to=message)

    @app.query("secure_shares")
    def secure_shares(message: Message, context: Context) -> Message:
        """Shares of its secrets, sealed for its neighbours."""
        return Message(
            pack_secure(_secure(open_device(context)).share(unpack_secure(message.content))), reply_to=message
        )

    @app.query("secure_confirm")
    def secure_confirm(message: Message, context: Context) -> Message:
        """Its signature of who is in the sum."""
        return Message(
            pack_secure(_secure(open_device(context)).confirm(unpack_secure(message.content))), reply_to=message
        )

    @app.query("secure_unmask")
    def secure_unmask(message: Message, context: Context) -> Message:
        """One share of each neighbour: what removes the masks from the sum, and from nothing else."""
        return Message(
            pack_secure(_secure(open_device(context)).unmask(unpack_secure(message.content))), reply_to=message
        )

    assert (TRAIN, HELLO) == ("train", "query.hello")
    return app


def _secure(device: Device) -> SecureDevice:
    if device.secure is None:
        raise PrivacyError("this device takes part in no secure aggregation: it has no directory of the other devices")
    return device.secure


def _stored_device(context: Context) -> Device:
    store = context.node_config.get("store")
    if not isinstance(store, str):
        raise DataError("this SuperNode has no device: start it with --node-config 'store=\"DIR\"'")
    return DeviceStore(Path(store)).open()


app = make_app(_stored_device)
