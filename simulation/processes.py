"""Background processes that never outlive the block that started them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from everbloom.errors import InputError


class Processes:
    """Each process leads a group, so that what it starts ends with it; each writes its own log."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Starts `command`; its output goes to `NAME.log`, after that of an earlier process of this name, whose rest is killed."""
        if name in self._running:
            self.end(name)
        with self.log(name).open("ab") as stream:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def log(self, name: str) -> Path:
        """Where a process' output goes."""
        return self.logs / f"{name}.log"

    def check(self, names: Sequence[str]) -> None:
        """Raises `InputError` if one of these, which should run until they are stopped, has ended."""
        for name in names:
            status = self._running[name].poll()
            if status is not None:
                raise InputError(f"{name} ended by itself (status {status}); its log is {self.log(name)}")

    def end(self, name: str, number: int = signal.SIGKILL) -> None:
        """Sends a signal to one, and to what it started if that is SIGKILL, and waits for its end."""
        process = self._running[name]
        with suppress(ProcessLookupError):
            (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)
        process.wait()

    def running(self) -> list[str]:
        """Names of those that have not ended."""
        return [name for name, process in self._running.items() if process.poll() is None]

    def ask_to_end(self, names: Sequence[str], seconds: float) -> None:
        """Asks these to end by themselves, and waits until they have, or so many seconds are over."""
        asked = [process for name, process in self._running.items() if name in names and process.poll() is None]
        for process in asked:
            process.terminate()
        deadline = time.monotonic() + seconds
        while any(process.poll() is None for process in asked) and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self) -> None:
        """Kills all of them and what they started, without asking: nothing may be running when this returns."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        self._running.clear()


@contextmanager
def processes(logs: Path) -> Iterator[Processes]:
    """A set of processes that is stopped at the end of the block, also when this process is told to terminate. For the main thread."""
    started = Processes(logs)
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield started
    finally:
        started.stop()
        signal.signal(signal.SIGTERM, before)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; held together while they are looked for, so that they differ."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def answers(port: int) -> bool:
    """Whether something listens on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _terminated(number: int, frame: FrameType | None) -> None:
    """SIGTERM as an exception, so that `finally` blocks run."""
    raise SystemExit(128 + number)
