"""What a device answers to each message of a federation. The resident service and simulations over devices in memory share it."""

from collections.abc import Callable, Mapping

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.device import Device
from client.messages import MESSAGES
from everbloom.errors import PrivacyError, SchemaError
from everbloom.evaluation_wire import EVALUATE, EvaluationTask
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.secure_wire import MESSAGE_TYPES, has_secure, pack_secure, unpack_secure
from everbloom.wire import HELLO, TRAIN, Task


def answer(device: Device, message_type: str, content: RecordDict) -> RecordDict:
    """The content of the reply. Raises `SchemaError` if there is no such message, or it is none of this version; else as `Device.train` does."""
    if message_type not in _ANSWERS:
        raise SchemaError(f"message {message_type!r}: expected one of {', '.join(_ANSWERS)}")
    return _ANSWERS[message_type](device, content)


def make_app(open_device: Callable[[Context], Device]) -> ClientApp:
    """A ClientApp whose devices come from `open_device`, in this process."""
    app = ClientApp()
    for message_type in _ANSWERS:
        _register(app, message_type, open_device)
    return app


def _register(app: ClientApp, message_type: str, open_device: Callable[[Context], Device]) -> None:
    category, _, action = message_type.partition(".")

    def handle(message: Message, context: Context) -> Message:
        return Message(answer(open_device(context), message_type, message.content), reply_to=message)

    {"train": app.train, "evaluate": app.evaluate, "query": app.query}[category](action or "default")(handle)


def _train(device: Device, content: RecordDict) -> RecordDict:
    task = Task.unpack(content)
    if has_secure(content):
        return pack_secure(device.train_masked(task, unpack_secure(content)))
    return device.train(task).pack()


def _evaluate(device: Device, content: RecordDict) -> RecordDict:
    asked = EvaluationTask.unpack(content)
    if has_secure(content):
        return pack_secure(device.evaluate_masked(asked, unpack_secure(content)))
    return device.evaluate(asked).pack()


def _hello(device: Device, content: RecordDict) -> RecordDict:
    """Which client this node is: what a server needs to draw the same cohorts whatever node ids Flower gave."""
    return RecordDict({"hello": ConfigRecord({"client": device.client})})


def _keys(device: Device, content: RecordDict) -> RecordDict:
    """Its keys for one round, signed; and the identity that signed them, which other devices know from elsewhere."""
    secure = _secure(device)
    return pack_secure(secure.advertise(unpack_secure(content)), secure.identity)


def _shares(device: Device, content: RecordDict) -> RecordDict:
    """Shares of its secrets, sealed for its neighbours."""
    return pack_secure(_secure(device).share(unpack_secure(content)))


def _confirm(device: Device, content: RecordDict) -> RecordDict:
    """Its signature of who is in the sum."""
    return pack_secure(_secure(device).confirm(unpack_secure(content)))


def _unmask(device: Device, content: RecordDict) -> RecordDict:
    """One share of each neighbour: what removes the masks from the sum, and from nothing else."""
    return pack_secure(_secure(device).unmask(unpack_secure(content)))


def _secure(device: Device) -> SecureDevice:
    if device.secure is None:
        raise PrivacyError("this device takes part in no secure aggregation: it has no directory of the other devices")
    return device.secure


_ANSWERS: Mapping[str, Callable[[Device, RecordDict], RecordDict]] = {
    TRAIN: _train,
    EVALUATE: _evaluate,
    HELLO: _hello,
    MESSAGE_TYPES["keys"]: _keys,
    MESSAGE_TYPES["shares"]: _shares,
    MESSAGE_TYPES["confirm"]: _confirm,
    MESSAGE_TYPES["unmask"]: _unmask,
}
assert set(_ANSWERS) <= set(MESSAGES), "the thin ClientApp forwards what is answered here"
