"""Real device processes for the ledger's tests, forked from this one so that imports are paid for once. Orders come in and results go out as JSON."""

import json
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import client.device
import client.ledger
from client.ledger import SqliteLedger
from client.store import DeviceStore
from everbloom.errors import PrivacyError
from everbloom.learning.local import LocalTrainer

POINTS = [
    "before reserve",
    "inside reserve",
    "after reserve",
    "in training",
    "before commit",
    "inside commit",
    "after commit",
    "after answering",
]


def die(*_: object) -> None:
    """As a power cut or the system's memory killer does: no handler runs, no buffer is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at(point: str) -> None:
    """Arranges for this process to die there."""
    if point == "after answering":
        return
    owner: object
    when, _, what = point.partition(" ")
    if point == "in training":
        owner, name = LocalTrainer, "update"
    elif when == "inside":
        # The row is written, the transaction is not committed.
        owner, name = client.ledger, "append"
    else:
        owner, name = SqliteLedger, what
    inner: Callable[..., object] = getattr(owner, name)

    def instead(*arguments: object, **named: object) -> object:
        if when == "inside" and f'"{what}' not in getattr(arguments[1], "body", ""):
            return inner(*arguments, **named)
        if when in ("before", "in"):
            die()
        result = inner(*arguments, **named)
        die()
        return result

    setattr(owner, name, instead)


def answer(work: Path) -> None:
    """One round of the device in `work`; the update is released once its line is in `answers`."""
    task = pickle.loads((work / "task.pickle").read_bytes())
    update = DeviceStore(work / "device").open().train(task)
    with (work / "answers").open("ab", buffering=0) as answers:
        answers.write(f"{float(update.delta.sum())}\n".encode())


def kill_at(work: Path, point: str) -> None:
    dying_at(point)
    answer(work)
    if point == "after answering":
        die()


def answer_on(work: Path) -> None:
    """Round after round, until it is killed or has spent all."""
    while True:
        answer(work)


def rush(work: Path) -> None:
    """Reserves as often as it can, from the moment that `go` appears. Each success is a line in `answers`."""
    ledger, plan = SqliteLedger(work / "ledger.sqlite"), pickle.loads((work / "plan.pickle").read_bytes())
    while not (work / "go").exists():
        time.sleep(0.001)
    for round in range(20):
        try:
            ledger.reserve(plan, 0, round)
        except PrivacyError:
            continue
        with (work / "answers").open("ab", buffering=0) as answers:
            answers.write(b"reserved\n")


def forked(what: Callable[[], None]) -> int:
    """The id of a new process that does this and nothing else; exit code 0, or 7 if it refused."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            what()
            code = 0
        except PrivacyError:
            code = 7
        except Exception:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """Minus the signal that killed it, or its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def obey(work: Path, order: dict[str, object]) -> list[int]:
    """How the processes ended that the order starts."""
    if order["do"] == "answer":
        # Here, not in a process of its own: what is imported on the way is there for those that follow.
        answer(work)
        return [0]
    if order["do"] == "kill at":
        return [ended(forked(lambda: kill_at(work, str(order["point"]))))]
    if order["do"] == "kill after":
        pid = forked(lambda: answer_on(work))
        time.sleep(float(str(order["seconds"])))
        os.kill(pid, signal.SIGKILL)
        return [ended(pid)]
    pids = [forked(lambda: rush(work)) for _ in range(int(str(order["processes"])))]
    (work / "go").touch()
    return [ended(pid) for pid in pids]


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        sys.stdout.write(json.dumps(obey(Path(order["work"]), order)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
