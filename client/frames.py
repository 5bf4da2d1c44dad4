"""The protocol of the device's socket: frames of a JSON header and a body of bytes, each with its length before it. Standard library alone.

A frame is `>IQ` (header bytes, body bytes), the header (a JSON object in UTF-8) and the body. Whoever connects sends one request and reads one reply:

    request  {"version": 1, "message": ID, "type": MESSAGE TYPE, "server": {...}}   body: the message's RecordDict, as Flower's protobuf
    reply    {"status": "answered"}                                                 body: the reply's RecordDict
             {"status": "refused", "reason": ONE LINE}                              no body
"""

import json
import struct
from collections.abc import Callable
from typing import Any

VERSION = 1
LENGTHS = struct.Struct(">IQ")
MOST_HEADER = 1 << 16
MOST_BODY = 1 << 28
"""Bytes: 256 MB, some 67 million parameters."""

Frame = tuple[dict[str, Any], bytes]


class FrameError(Exception):
    """What came is no frame, or too large a one."""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """A frame's head: what goes before the body. The body is not copied into it; send it after."""
    text = json.dumps(header, ensure_ascii=False).encode()
    return LENGTHS.pack(len(text), len(body)) + text


def lengths(head: bytes, most_body: int = MOST_BODY) -> tuple[int, int]:
    """(header, body) bytes to read. Raises `FrameError` if they are more than is allowed."""
    header, body = LENGTHS.unpack(head)
    if header > MOST_HEADER or body > most_body:
        raise FrameError(
            f"a frame of {header} + {body} bytes; expected at most {MOST_HEADER} of header and {most_body} of body"
        )
    return header, body


def parse(text: bytes) -> dict[str, Any]:
    """A header. Raises `FrameError` if it is no JSON object."""
    try:
        header = json.loads(text)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise FrameError("a frame's header is no JSON object")
    return header


def read_frame(read: Callable[[int], bytes]) -> Frame | None:
    """The next frame from a blocking stream (`file.read`); None at its end. Raises `FrameError`, also where a frame breaks off."""
    head = read(LENGTHS.size)
    if not head:
        return None
    if len(head) < LENGTHS.size:
        raise FrameError("a frame breaks off")
    header, body = lengths(head)
    text, content = read(header), read(body) if body else b""
    if len(text) < header or len(content) < body:
        raise FrameError("a frame breaks off")
    return parse(text), content
