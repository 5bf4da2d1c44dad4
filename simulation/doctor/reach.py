"""A server as devices see it: certificate, clock, and that nothing but the Fleet API is let through."""

import email.utils
import http.client
import socket
import ssl
import time
from pathlib import Path

from everbloom.errors import ConfigError
from simulation.doctor.finding import Finding, looked

_SECONDS = 10.0
_MOST_SKEW = 5.0
"""Seconds: a node's signed time may be some ten seconds old, on its way too."""


def examine_server(address: str, certificates: Path | None) -> list[Finding]:
    """`address`: HOST:PORT. `certificates`: the authority's; None: those that the system trusts."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal():
        raise ConfigError(f"--server {address!r}: expected HOST:PORT")
    first = looked(lambda: _certificate(host, int(port), certificates))
    if not first.fine:
        return [first]
    return [first, *(looked(check) for check in (
        lambda: _clock(host, int(port), certificates),
        lambda: _closed(host, int(port), certificates, "/v1/control/list-runs"),
        lambda: _closed(host, int(port), certificates, "/v1/runtime/acquire-task"),
        lambda: _open(host, int(port), certificates),
    ))]  # fmt: skip


def handshake(host: str, port: int, certificates: Path | None) -> str:
    """The TLS version. Raises `OSError` (of which `ssl.SSLError` is one) if it fails."""
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as plain,
        _context(certificates).wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.version() or "TLS"


def _context(certificates: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if certificates is None else str(certificates))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{certificates}: no certificates can be read here ({error})") from None


def _certificate(host: str, port: int, certificates: Path | None) -> str:
    try:
        return f"{host}:{port}: certificate holds, {handshake(host, port, certificates)}"
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            f"{host}:{port}: its certificate does not hold ({error.verify_message}); is this the right authority.pem?"
        ) from None
    except OSError as error:
        raise ConfigError(f"{host}:{port}: cannot be reached ({error}); look at address, firewall and proxy") from None


def _ask(host: str, port: int, certificates: Path | None, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=_context(certificates))
    try:
        connection.request("POST", path, b"", {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        return response
    except OSError as error:
        raise ConfigError(f"{host}:{port}{path}: no answer ({error})") from None
    finally:
        connection.close()


def _clock(host: str, port: int, certificates: Path | None) -> str:
    before = time.time()
    told = _ask(host, port, certificates, "/v1/fleet/pull-messages").headers.get("Date")
    if told is None:
        return f"{host}:{port}: does not tell its time"
    skew = email.utils.parsedate_to_datetime(told).timestamp() - (before + time.time()) / 2
    if abs(skew) > _MOST_SKEW:
        raise ConfigError(
            f"clock: {skew:+.0f} s from the server's; nodes that are off by more than seconds are refused; let NTP keep both right"
        )
    return f"clock: within {_MOST_SKEW:.0f} s of the server's"


def _closed(host: str, port: int, certificates: Path | None, path: str) -> str:
    status = _ask(host, port, certificates, path).status
    if status not in (403, 404):
        raise ConfigError(
            f"{host}:{port}{path}: answers with status {status}; whoever reaches it can run code on every device; let the proxy pass /v1/fleet/ alone"
        )
    return f"{host}:{port}{path}: closed"


def _open(host: str, port: int, certificates: Path | None) -> str:
    status = _ask(host, port, certificates, "/v1/fleet/pull-messages").status
    if status in (403, 404) or status >= 500:
        raise ConfigError(
            f"{host}:{port}/v1/fleet/: status {status}; the proxy does not reach the SuperLink, or is not the one of `deploy init`"
        )
    return f"{host}:{port}/v1/fleet/: answers"
