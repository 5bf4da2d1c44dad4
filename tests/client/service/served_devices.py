"""A device's service as a real process, for tests to use and to kill; and tasks under changed terms."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flwr.app import RecordDict

from client.app import ask
from client.ledger import SqliteLedger
from client.ledger_chain import Account
from client.service.calls import call
from client.service.folder import DeviceFolder
from everbloom.wire import Task

ROOT = Path(__file__).parents[3]
SECONDS = 60.0


def until(condition: Callable[[], Any]) -> Any:
    """The first true value."""
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@dataclass
class Service:
    """`everbloom-device serve` on a folder, as a real process."""

    folder: DeviceFolder
    before: str = ""
    """Python that runs before the service does."""
    group: str | None = None
    """Of those who may ask on the socket."""
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> "Service":
        arguments = ["serve", "--port", "0", "-d", str(self.folder.path)]
        arguments += [] if self.group is None else ["--socket-group", self.group]
        program = f"import sys; sys.argv[1:] = {arguments!r}; {self.before}\nfrom client.cli import main\nmain()"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.folder.address.unlink(missing_ok=True)
        self.process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL)
        until(lambda: self.folder.address.exists() and self.folder.address.read_text().endswith("}"))
        return self

    def kill(self) -> None:
        """As a power cut or the system's memory killer does; who worked for it ends with it."""
        children = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        until(lambda: not any(running(child) for child in children))

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(child) for child in path.read_text().split()]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)

    def ask(self, message: str, task: Task, message_type: str = "train") -> RecordDict:
        return ask(str(self.folder.socket), message, message_type, task.pack())

    def call(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        return call(self.folder, method, path, **given)

    def account(self) -> Account:
        return SqliteLedger(self.folder.ledger).account()

    def journal(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.folder.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def changed(task: Task, **tables: Any) -> Task:
    """The task under other terms: `privacy={"epsilon": 9}` replaces keys of that table."""
    terms = task.terms.model_dump(mode="json", exclude_none=True)
    for name, table in tables.items():
        terms[name] = {**terms[name], **table} if isinstance(table, dict) else table
    return replace(task, terms=type(task.terms).model_validate(terms))
