"""The Flower ClientApp: hands every message to the device's resident service over its local socket and returns what that answers.

Flower starts a process for each message and runs whatever code the server sent. So this is all that there is of it: no data, no model, no torch. What
may be done with a message, the service decides by its owner's policy.
"""

import socket
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictBytes

from client.frames import VERSION, FrameError, pack, read_frame
from client.messages import MESSAGES
from everbloom.errors import DataError, InputError

_CONNECT_SECONDS = 10.0


def ask(path: str, message_id: str, message_type: str, content: RecordDict) -> RecordDict:
    """What the service at the socket `path` answers; waits for as long as it trains.

    Raises `DataError` if no service answers there, `InputError` with the service's own line if it refuses.
    """
    body = recorddict_to_proto(content).SerializeToString()
    head = pack({"version": VERSION, "message": message_id, "type": message_type}, body)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(path)
            connection.settimeout(None)
            connection.sendall(head)
            connection.sendall(body)
            with connection.makefile("rb") as stream:
                frame = read_frame(stream.read)
    except (OSError, FrameError) as error:
        raise DataError(
            f"{path}: no device service answers here ({error}); start it with: everbloom-device serve"
        ) from None
    if frame is None:
        raise DataError(f"{path}: the device service ended before it answered; the message may be sent again")
    reply, body = frame
    if reply.get("status") != "answered":
        raise InputError(str(reply.get("reason", "refused without a reason")))
    return recorddict_from_proto(RecordDictBytes.FromString(body))


def forward(message: Message, context: Context) -> Message:
    """The reply of this SuperNode's device."""
    path = context.node_config.get("socket")
    if isinstance(path, str):
        metadata = message.metadata
        return Message(ask(path, metadata.message_id, metadata.message_type, message.content), reply_to=message)
    if isinstance(context.node_config.get("store"), str):
        # A rehearsal: the device is a folder that this process opens itself, with all that it has to import for that.
        from client.store import rehearsal

        return rehearsal()(message, context)
    raise DataError("this SuperNode has no device: start it with --node-config 'socket=\"DIR/run/device.sock\"'")


def _forwarding() -> ClientApp:
    made = ClientApp()
    register: dict[str, Callable[..., Callable[..., object]]] = {
        "train": made.train,
        "evaluate": made.evaluate,
        "query": made.query,
    }
    for message_type in MESSAGES:
        category, _, action = message_type.partition(".")
        register[category](action or "default")(forward)
    return made


app = _forwarding()
