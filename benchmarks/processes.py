"""The driver's end of a contender: a process that is asked for repetitions, and sleeps while others are asked."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contestants import Contestant
from benchmarks.workloads import REPO, SCRATCH

_START_SECONDS = 600.0
_REPETITION_SECONDS = 900.0
_STOP_SECONDS = 60.0
_SAMPLE_SECONDS = 0.05


class Failed(Exception):
    """A contender cannot take part; the message says why."""


@dataclass(frozen=True)
class Repetition:
    """What one repetition took. `cpu_seconds` of all its processes; `load`: the machine's load average before it."""

    seconds: float
    cpu_seconds: float
    clients: int
    norms: tuple[float, ...]
    load: float


class Contender:
    """A running contestant."""

    def __init__(self, contestant: Contestant, folder: Path) -> None:
        """Starts it and waits until it is prepared. Raises `Failed`."""
        if not contestant.python.exists():
            raise Failed(f"no environment {contestant.environment}: its installation failed")
        self.contestant = contestant
        self.log = SCRATCH / "logs" / f"{folder.name}-{contestant.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*contestant.command, str(folder), *contestant.arguments],
                cwd=REPO,
                env=os.environ | _environment(contestant),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.facts: dict[str, Any] = self._hear(_START_SECONDS)["ready"]
        self.start_seconds = time.perf_counter() - started
        self._pause()

    def repeat(self, rounds: Sequence[int]) -> Repetition:
        """One repetition. Raises `Failed`."""
        load = os.getloadavg()[0]
        self._resume()
        before = self._cpu_seconds()
        answer = self._ask(rounds)
        spent = self._cpu_seconds() - before
        self._pause()
        return Repetition(answer["seconds"], spent, answer["clients"], tuple(answer["norms"]), load)

    def peak_memory(self, rounds: Sequence[int]) -> float:
        """MB that all its processes hold together (shared pages counted once) at the worst moment of a repetition that is not timed."""
        peak, done = 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, sum(map(_proportional, self._processes())))
                done.wait(_SAMPLE_SECONDS)

        self._resume()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self._ask(rounds)
        finally:
            done.set()
            watcher.join()
            self._pause()
        return peak / 1e6

    def stop(self) -> None:
        """Ends it, and whatever it started."""
        family = self._processes()
        with contextlib.suppress(OSError, Failed, subprocess.TimeoutExpired):
            self._resume()
            self._say({"do": "stop"})
            self._process.wait(_STOP_SECONDS)
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()

    def _ask(self, rounds: Sequence[int]) -> dict[str, Any]:
        self._say({"do": "run", "rounds": list(rounds)})
        return self._hear(_REPETITION_SECONDS)

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self._last_words()) from None

    def _hear(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            raise Failed(f"no answer in {seconds:.0f} s; its log is {self.log}") from None
        if not line:
            raise Failed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"it ended: {lines[-1] if lines else 'without a word'} ({self.log})"

    def _processes(self) -> list[psutil.Process]:
        try:
            leader = psutil.Process(self._process.pid)
            return [leader, *leader.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _cpu_seconds(self) -> float:
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def _pause(self) -> None:
        """Stops the leading process: an engine that polls while it waits would slow the others down."""
        self._process.send_signal(signal.SIGSTOP)

    def _resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def _proportional(process: psutil.Process) -> int:
    """Bytes, each shared page divided among those who share it."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.uss))


def _environment(contestant: Contestant) -> dict[str, str]:
    return {
        # One thread where a contender has several processes; pooled training sets its own number.
        "OMP_NUM_THREADS": str(contestant.cores if contestant.module == "pooled" else 1),
        # Threads that wait in a loop for each other lose many times over where another process takes a core for a moment.
        "OMP_WAIT_POLICY": "passive",
        "EVERBLOOM_HOME": str(SCRATCH / "home"),
        "PYTHONUNBUFFERED": "1",
    }
