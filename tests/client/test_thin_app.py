"""The ClientApp that the bundle carries: it imports nothing heavy, forwards what comes, and says what the service said."""

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictBytes
from flwr.supercore.task_identity import TaskIdentity

from client.app import app
from client.frames import LENGTHS, MOST_BODY, FrameError, pack, read_frame
from client.messages import MESSAGES
from everbloom.errors import DataError, InputError
from everbloom.secure_wire import pack_secure, unpack_secure

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "opacus", "transformers", "pandas", "scipy", "sklearn", "sqlite3", "fastapi", "pydantic")


def test_it_imports_nothing_heavy():
    program = f"import flwr.app, flwr.clientapp, sys; before = set(sys.modules); import client.app; print(*set(sys.modules) - before)"  # noqa: F541
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "client.app" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY}
    assert {name for name in loaded if name.startswith("everbloom")} == {"everbloom", "everbloom.errors"}


@contextmanager
def service_at(path: Path, reply: bytes, asked: list):
    """Something that listens at the socket, notes what it is asked and sends these bytes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as stream:
                asked.append(read_frame(stream.read))
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()


def send(config: dict, message_type: str = "train", message_id: str = "m-1") -> RecordDict:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    message = Message(pack_secure(b"request"), dst_node_id=9, message_type=message_type)
    message.metadata.__dict__["_message_id"] = message_id
    return app(message, Context(run_id=1, node_id=9, node_config=config, state=RecordDict(), run_config={})).content


@pytest.mark.parametrize("message_type", MESSAGES)
def test_it_forwards_a_message_and_returns_the_reply(tmp_path, message_type):
    asked = []
    body = recorddict_to_proto(pack_secure(b"reply")).SerializeToString()
    with service_at(tmp_path / "s", pack({"status": "answered"}, body) + body, asked):
        content = send({"socket": str(tmp_path / "s")}, message_type)
    assert unpack_secure(content) == b"reply"
    ((header, sent),) = asked
    assert header == {"version": 1, "message": "m-1", "type": message_type}
    assert unpack_secure(recorddict_from_proto(RecordDictBytes.FromString(sent))) == b"request"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (pack({"status": "refused", "reason": "refused: the budget is spent"}), "^refused: the budget is spent$"),
        (pack({}), "refused without a reason"),
        (b"", "the device service ended before it answered; the message may be sent again"),
        (b"\x00\x00", "no device service answers here .a frame breaks off."),
        (LENGTHS.pack(3, 0) + b"abc", "a frame's header is no JSON object"),
        (LENGTHS.pack(2, 10) + b"{}abc", "a frame breaks off"),
        (LENGTHS.pack(2, MOST_BODY + 1) + b"{}", "expected at most 65536 of header and"),
    ],
)
def test_it_says_in_one_line_what_is_wrong(tmp_path, reply, told):
    with service_at(tmp_path / "s", reply, []), pytest.raises(InputError, match=told) as caught:
        send({"socket": str(tmp_path / "s")})
    assert "\n" not in str(caught.value)


def test_where_no_service_runs(tmp_path):
    with pytest.raises(DataError, match=r"no device service answers here .*; start it with: everbloom-device serve"):
        send({"socket": str(tmp_path / "nothing")})


def test_a_large_body_arrives_whole(tmp_path):
    asked, body = [], recorddict_to_proto(pack_secure(b"x" * 5_000_000)).SerializeToString()
    with service_at(tmp_path / "s", pack({"status": "answered"}, body) + body, asked):
        assert len(unpack_secure(send({"socket": str(tmp_path / "s")}))) == 5_000_000


def test_a_frame_says_where_it_ends():
    stream = [pack({"a": 1}, b"xyz"), b"xyz", pack({})]
    data = b"".join(stream)

    def read(count: int) -> bytes:
        nonlocal data
        taken, data = data[:count], data[count:]
        return taken

    assert read_frame(read) == ({"a": 1}, b"xyz")
    assert read_frame(read) == ({}, b"")
    assert read_frame(read) is None
    with pytest.raises(FrameError):
        read_frame(lambda count: b"x" * min(count, 5))
