"""nginx with the deployment's configuration, before a stand-in for the SuperLink: the Fleet API passes, nothing else, however it is written."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from server.deployment.folder import DeploymentFolder
from server.deployment.making import make_deployment, nginx_program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Link(BaseHTTPRequestHandler):
    """Answers anything, and keeps what it was asked."""

    asked: list[str] = []  # noqa: RUF012 - one server a module

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(self.path)
        told = f"{self.path} {len(body)}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST

    def log_message(self, format: str, *arguments: object) -> None:
        return


@pytest.fixture(scope="module")
def proxy(tmp_path_factory) -> Iterator[DeploymentFolder]:
    program = nginx_program()
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    folder = make_deployment(
        tmp_path_factory.mktemp("proxy") / "d", ["localhost"], free_port(), free_port(), "127.0.0.1"
    )
    link = ThreadingHTTPServer(("127.0.0.1", folder.settings.link_port), Link)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder.server_certificate, folder.server_key)
    link.socket = context.wrap_socket(link.socket, server_side=True)
    thread = threading.Thread(target=link.serve_forever)
    thread.start()
    as_root = ["-g", "user root;"] if os.geteuid() == 0 else []
    nginx = subprocess.Popen([program, "-c", str(folder.proxy_configuration), *as_root])
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", folder.settings.port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield folder
    finally:
        nginx.terminate()
        nginx.wait()
        link.shutdown()
        thread.join()
        link.server_close()


def ask(proxy: DeploymentFolder, path: str, body: bytes = b"x", method: str = "POST") -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(proxy.authority))
    connection = http.client.HTTPSConnection("localhost", proxy.settings.port, timeout=20, context=context)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_fleet_api_passes_with_large_pieces(proxy):
    assert ask(proxy, "/v1/fleet/pull-messages") == (200, b"/v1/fleet/pull-messages 1")
    assert ask(proxy, "/v1/fleet/push-object", bytes(20 << 20))[1] == b"/v1/fleet/push-object 20971520"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/runtime/push-messages",
        "/",
        "/docs",
        "/openapi.json",
        "/v1/fleet/",
        "/v1/fleet",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run",
        "/v1/control/../fleet/pull-messages",
        "/v1/control%2f..%2ffleet/pull-messages",
        "//v1/fleet/pull-messages",
        "/v1//fleet/pull-messages",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages?x=/v1/control/start-run",
        "/v1/fleet/pull-messages/../../control/start-run",
        "/V1/control/start-run",
        "/v1/fleet/pull%2dmessages",
    ],
)
def test_everything_else_is_refused_and_logged(proxy, path):
    before = len(Link.asked)
    status, _ = ask(proxy, path)
    assert status in (400, 403, 404)
    assert len(Link.asked) == before, "it reached the SuperLink"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (path, status) not in logged(proxy):
        time.sleep(0.05)
    assert (path, status) in logged(proxy)


def test_nothing_but_a_post_passes(proxy):
    before = len(Link.asked)
    assert ask(proxy, "/v1/fleet/pull-messages", b"", "GET")[0] == 403
    assert ask(proxy, "/v1/fleet/pull-messages", b"", "DELETE")[0] == 403
    assert len(Link.asked) == before


def test_a_body_that_is_too_large_is_refused(proxy):
    context = ssl.create_default_context(cafile=str(proxy.authority))
    connection = http.client.HTTPSConnection("localhost", proxy.settings.port, timeout=20, context=context)
    connection.putrequest("POST", "/v1/fleet/push-object")
    connection.putheader("Content-Length", str(1 << 30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_plain_http_and_old_tls_get_nothing(proxy):
    plain = http.client.HTTPConnection("localhost", proxy.settings.port, timeout=20)
    plain.request("POST", "/v1/fleet/pull-messages", b"x")
    assert plain.getresponse().status == 400
    plain.close()


def logged(proxy: DeploymentFolder) -> list[tuple[str, int]]:
    """What nginx's log says, each line a JSON object."""
    log: Path = proxy.path / "state" / "access.jsonl"
    told = [json.loads(line) for line in log.read_text().splitlines()]
    return [(one["path"], one["status"]) for one in told]
