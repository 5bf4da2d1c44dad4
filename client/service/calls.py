"""One call of the loopback API from the command line: of the running service, or, if none runs, of one that is opened for this call. Never both."""

import asyncio
import http.client
import json
import os
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlencode

from client.service.folder import Busy, DeviceFolder
from everbloom.errors import DataError, InputError

_SECONDS = 600.0
_HOST = "127.0.0.1"


def call(
    folder: DeviceFolder, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None
) -> dict[str, Any]:
    """The answer. Raises `InputError` with the API's own line."""
    target = f"{path}?{urlencode(query)}" if query else path
    content = b"" if body is None else json.dumps(body).encode()
    try:
        descriptor = folder.lock()
    except Busy:
        status, answer = _ask_service(folder, method, target, content)
    else:
        try:
            status, answer = asyncio.run(_ask_here(folder, method, target, content))
        finally:
            os.close(descriptor)
    told: dict[str, Any] = json.loads(answer)
    if status >= 400:
        raise InputError(str(told.get("error", told)))
    return told


def service_address(folder: DeviceFolder) -> str:
    """host:port of the running service. Raises `DataError` if none runs."""
    try:
        return f"{_HOST}:{json.loads(folder.address.read_text())['port']}"
    except (OSError, ValueError, KeyError):
        raise DataError(f"{folder.path}: no service is running here; start it with: everbloom-device serve") from None


def _ask_service(folder: DeviceFolder, method: str, target: str, content: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(service_address(folder), timeout=_SECONDS)
    try:
        connection.request(method, target, content, _headers(folder))
        response = connection.getresponse()
        return response.status, response.read()
    except OSError as error:
        raise DataError(f"{folder.path}: the service does not answer ({error}); it may be starting or ending") from None
    finally:
        connection.close()


async def _ask_here(folder: DeviceFolder, method: str, target: str, content: bytes) -> tuple[int, bytes]:
    """The same through the application itself, without a port."""
    from client.service.serving import opened

    path, _, query = target.partition("?")
    headers = {**_headers(folder), "host": _HOST, "content-length": str(len(content))}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (_HOST, 0), "server": (_HOST, 0),
    }  # fmt: skip
    status, pieces = 500, []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            pieces.append(message.get("body", b""))

    async with opened(folder, lambda: (_HOST,), echo=False) as (_, guarded):
        await guarded(scope, receive, send)
    return status, b"".join(pieces)


def _headers(folder: DeviceFolder) -> dict[str, str]:
    return {"Authorization": f"Bearer {folder.token()}", "Content-Type": "application/json"}
