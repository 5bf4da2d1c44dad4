"""Who may use the loopback API: requests that name this machine, come from no other page, and carry the owner's token.

A page of a stranger's can make a browser on this machine send requests here. It cannot read the token, its Origin gives it away, and a name that it
points to 127.0.0.1 (DNS rebinding) is not one that is listened to.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_BODY = 1 << 20
"""Bytes of a request."""

_LINK_SECONDS = 300.0
_SESSIONS = 8
_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Access:
    """The owner's token, and what is given out for it to the owner's page: links that work once, sessions that end with the service."""

    def __init__(self, token: str) -> None:
        self._token = _hash(token)
        self._links: dict[bytes, float] = {}
        self._sessions: list[bytes] = []

    def allows(self, token: str) -> bool:
        """Whether this is the owner's token or a session's."""
        return any(hmac.compare_digest(_hash(token), known) for known in (self._token, *self._sessions))

    def new_link(self) -> str:
        """A code that can be exchanged for a session once, within five minutes."""
        code = secrets.token_urlsafe(24)
        self._links[_hash(code)] = time.monotonic() + _LINK_SECONDS
        return code

    def session(self, code: str) -> str | None:
        """A session's token for a code; None if it was used, is too old or never was. The oldest of many sessions ends."""
        until = self._links.pop(_hash(code), None)
        if until is None or until < time.monotonic():
            return None
        token = secrets.token_urlsafe(32)
        self._sessions = [*self._sessions, _hash(token)][-_SESSIONS:]
        return token


class Guard:
    """Stands before the application: refuses with one line, limits sizes, and sets the headers of every response."""

    def __init__(
        self, app: Any, access: Access, hosts: Callable[[], Iterable[str]], open_paths: frozenset[tuple[str, str]]
    ) -> None:
        """`hosts`: what the Host header may say. `open_paths`: (method, path) of what needs no token because it tells nothing."""
        self.app = app
        self.access = access
        self.hosts = hosts
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            body = await _body(receive)
            refusal = (
                None
                if body is not None
                else (413, f"the request is larger than {MOST_BODY} bytes; send less at a time")
            )
        if refusal is not None:
            status, reason = refusal
            await JSONResponse({"error": reason}, status)(scope, receive, answer)
            return
        await self.app(scope, _replay(body or b"", receive), answer)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in (b"host", b"origin", b"authorization") and name.decode() in headers:
                return 400, f"{name.decode()}: given twice"
            headers[name.decode("latin-1")] = value.decode("latin-1")
        hosts = list(self.hosts())
        if headers.get("host", "").lower() not in hosts:
            return 403, f"Host {headers.get('host', '')!r}: this service is spoken to as {' or '.join(hosts)}"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in [f"http://{host}" for host in hosts]:
            return 403, f"Origin {origin!r}: no other page may use this service"
        if (scope["method"], scope["path"]) in self.open_paths:
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not self.access.allows(token.strip()):
            return (
                401,
                "the owner's token is missing or wrong; send `Authorization: Bearer TOKEN` with what the device's file `token` holds",
            )
        return None


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too large."""
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        piece = message.get("body", b"")
        size += len(piece)
        if size > MOST_BODY:
            return None
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


def _replay(body: bytes, receive: Receive) -> Receive:
    """What was read already, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return replayed


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
