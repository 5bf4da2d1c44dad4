"""Running a device's service: the folder's lock, the socket for Flower, the loopback API, until it is told to stop."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import uvicorn

from client.service.access import Access, Guard
from client.service.folder import DeviceFolder
from client.service.http_api import OPEN_PATHS, build_api
from client.service.service import DeviceService
from client.service.socket_side import open_socket
from everbloom.errors import ConfigError

DEFAULT_PORT = 8642


def serve(
    folder: DeviceFolder, port: int = DEFAULT_PORT, group: str | None = None, idle_seconds: float = 300.0
) -> None:
    """Until SIGTERM or Ctrl-C. `port` 0: any that is free. `group`: see `open_socket`.

    Raises `DataError` if the folder holds no device or another process has it, `ConfigError` if the port is taken.
    """
    descriptor = folder.lock()
    try:
        asyncio.run(_serve(folder, _listen(port), group, idle_seconds))
    finally:
        folder.address.unlink(missing_ok=True)
        os.close(descriptor)


async def _serve(folder: DeviceFolder, listening: socket.socket, group: str | None, idle_seconds: float) -> None:
    port = listening.getsockname()[1]
    async with opened(folder, lambda: _hosts(port), echo=True, idle_seconds=idle_seconds) as (service, guarded):
        federation = await open_socket(service, folder, group)
        folder.address.touch(mode=0o600)
        folder.address.write_text(json.dumps({"port": port, "pid": os.getpid()}))
        service.journal.note("started", port=port, pid=os.getpid())
        config = uvicorn.Config(
            guarded, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, date_header=False, timeout_graceful_shutdown=5,
        )  # fmt: skip
        await _until_told(_Server(config), listening)
        federation.close()
        folder.socket.unlink(missing_ok=True)
        service.journal.note("stopped")


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again when it is done, and would end the process before what has to follow."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn."""
        yield


async def _until_told(server: uvicorn.Server, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(setattr, server, "should_exit", True))
    await server.serve([listening])


@asynccontextmanager
async def opened(
    folder: DeviceFolder, hosts: Any, echo: bool, idle_seconds: float = 300.0
) -> AsyncIterator[tuple[DeviceService, Guard]]:
    """The service and its guarded API. The folder must be locked by this process."""
    service = DeviceService(folder, echo=echo, idle_seconds=idle_seconds)
    try:
        access = Access(folder.token())
        yield service, Guard(build_api(service, access), access, hosts, OPEN_PATHS)
    finally:
        await service.close()


def _hosts(port: int) -> tuple[str, ...]:
    return (f"127.0.0.1:{port}", f"localhost:{port}")


def _listen(port: int) -> socket.socket:
    # By its protocol's number asyncio knows a socket whose answers must not wait for acknowledgements (TCP_NODELAY): 40 ms each otherwise.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)  # from now on callers wait, rather than being refused until the server is up
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} cannot be used ({error}); give another with --port, or 0 for any that is free"
        ) from None
    return listening
