"""The Unix socket on which the Flower side asks. Who may connect is decided by the file system; what is answered, by the owner's policy."""

import asyncio
import os
import shutil
from contextlib import suppress

from client.frames import FrameError, pack
from client.service.folder import DeviceFolder
from client.service.service import DeviceService
from client.service.worker import read_frame
from everbloom.errors import ConfigError

_REQUEST_SECONDS = 60.0


async def open_socket(service: DeviceService, folder: DeviceFolder, group: str | None) -> asyncio.AbstractServer:
    """Listens at the folder's socket. Its owner alone may connect, or also `group`: that of the user who runs the SuperNode, so that the server's
    code runs as somebody who cannot read the device's folder.

    Raises `ConfigError` if there is no such group or it is not ours to give, or if the path is too long for a socket.
    """
    run = folder.socket.parent
    run.mkdir(mode=0o700, exist_ok=True)
    run.chmod(0o700)
    folder.socket.unlink(missing_ok=True)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _converse(service, reader, writer)

    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(handle, folder.socket)
    except OSError as error:
        raise ConfigError(
            f"{folder.socket}: no socket can be made here ({error}); use a folder with a short path"
        ) from None
    finally:
        os.umask(before)
    if group is not None:
        _share(folder, group)
    return server


def _share(folder: DeviceFolder, group: str) -> None:
    """The group may pass through the folders (not list or read them) and connect."""
    try:
        for path, mode in ((folder.path, 0o710), (folder.socket.parent, 0o710), (folder.socket, 0o660)):
            shutil.chown(path, group=group)
            path.chmod(mode)
    except (LookupError, OSError) as error:
        raise ConfigError(f"--socket-group {group}: {error}; name a group that the service's user is in") from None


async def _converse(service: DeviceService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, one reply."""
    with suppress(OSError, asyncio.IncompleteReadError):
        try:
            header, body = await asyncio.wait_for(read_frame(reader), _REQUEST_SECONDS)
            reply, content = await service.federation.answer(header, body)
        except (FrameError, TimeoutError) as error:
            reason = str(error) or f"no whole request within {_REQUEST_SECONDS:.0f} s"
            service.journal.note("refused", reason=reason)
            reply, content = {"status": "refused", "reason": reason}, b""
        writer.write(pack(reply, content))
        writer.write(content)
        await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
