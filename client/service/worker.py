"""A process that works for the service: started when there is work, stopped when there was none for a while."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

from client.frames import LENGTHS, Frame, FrameError, lengths, pack, parse
from everbloom.errors import InputError

_GIVES_BACK = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""glibc: memory that is free goes back to the system at once, also after large tensors that lived for a moment."""


class WorkerFailed(InputError):
    """A process of the service ended, or failed, without an answer."""


class Worker:
    """One process of a module that `serve_parent`s, and one request at a time."""

    def __init__(self, module: str, folder: Path, idle_seconds: float, nice: int = 0) -> None:
        self.module = module
        self.folder = folder
        self.idle_seconds = idle_seconds
        self._nice = nice
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None if there is none now."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def ask(self, header: dict[str, Any], body: bytes = b"") -> Frame:
        """Its reply. Raises `WorkerFailed` if it ends before it answers, whoever ended it."""
        async with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            process = await self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(pack(header, body))
                process.stdin.write(body)
                await process.stdin.drain()
                return await read_frame(process.stdout)
            except (OSError, FrameError, asyncio.IncompleteReadError):
                await self._end()
                raise WorkerFailed(f"{self.module} ended before it answered") from None
            except asyncio.CancelledError:
                await self._end()  # its answer would come in place of the next one's
                raise
            finally:
                self._idle = asyncio.get_running_loop().call_later(self.idle_seconds, self._idle_over)

    async def stop(self) -> None:
        """Ends the process at once, also in the middle of work."""
        if self._idle is not None:
            self._idle.cancel()
        await self._end()

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            nice = ("nice", "-n", str(self._nice)) if self._nice else ()
            command = (*nice, sys.executable, "-m", self.module, str(self.folder))
            environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", **_GIVES_BACK}
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def _idle_over(self) -> None:
        if not self._lock.locked() and self._process is not None:
            # Forgotten at once: whoever asks next must not find it while it is ending.
            process, self._process = self._process, None
            if process.returncode is None:
                process.kill()


async def read_frame(stream: asyncio.StreamReader, most_body: int | None = None) -> Frame:
    """The next frame. Raises `FrameError` if it is too large or none, `IncompleteReadError` at the stream's end."""
    head = await stream.readexactly(LENGTHS.size)
    header, body = lengths(head) if most_body is None else lengths(head, most_body)
    return parse(await stream.readexactly(header)), await stream.readexactly(body)
