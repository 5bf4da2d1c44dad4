"""The life of a process that works for the service: one request after the other from its standard input, each answered on its standard output.

It ends when the service does, however that ends, also in the middle of work.
"""

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from client.frames import Frame, FrameError, pack, read_frame
from everbloom.errors import InputError

Work = Callable[[dict[str, Any], bytes], Frame]
"""(header, body) of a request -> those of its reply. An `InputError` is a refusal."""


def serve_parent(folder: Path, prepare: Callable[[], Work]) -> None:
    """Answers until the parent is gone. `prepare` runs when the first request is there."""
    requests: queue.Queue[Frame] = queue.Queue()
    # Libraries print; what they print must not get in between.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    work: Work | None = None
    while True:
        header, body = requests.get()
        try:
            work = work or prepare()
            reply, content = work(header, body)
        except InputError as error:
            reply, content = (
                {"status": "refused", "reason": without_paths(folder, error), "kind": type(error).__name__},
                b"",
            )
        except Exception as error:  # noqa: BLE001 - the parent must hear of it, and of nothing that an exception may quote
            reply, content = {"status": "failed", "where": _where(error)}, b""
        replies.write(pack(reply, content))
        view = memoryview(content)
        while view:
            view = view[replies.write(view) :]


def without_paths(folder: Path, error: Exception) -> str:
    """The error's line as strangers may read it: without where on this device its folder lies."""
    return " ".join(str(error).replace(f"{folder}/", "").replace(str(folder), "the device").splitlines())


def _listen(stream: BinaryIO, requests: "queue.Queue[Frame]") -> None:
    try:
        while (frame := read_frame(stream.read)) is not None:
            requests.put(frame)
    except FrameError:
        pass
    # The parent is gone. Nothing that is being computed has anybody to go to.
    os._exit(0)


def _where(error: Exception) -> str:
    """The error's type and the place that it came from, without its message: that may hold what is private."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
