"""Who must not get in: nodes that nobody registered, servers that are not ours, callers of what the proxy hides, tasks that nobody of ours signed."""

import http.client
import json
import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from real_fleet import RunningFleet

from client.app import ask
from everbloom.errors import InputError
from everbloom.signing import sign
from everbloom.wire import TRAIN
from server.deployment.certificates import make_authority, make_node_key, read_node_key, read_task_key
from server.deployment.commands import flower_environment, supernode_command
from server.deployment.control import control
from simulation.processes import Processes, free_ports


def supernode(fleet: RunningFleet, key: Path, authority: Path, folder: Path) -> tuple[int, str]:
    """(exit status, output) of a SuperNode."""
    (port,) = free_ports(1)
    socket = fleet.fleet.devices[0].socket
    command = supernode_command(fleet.fleet.settings.address, authority, key, socket, port)
    started = Processes(folder)
    process = started.start("stranger", command, flower_environment(folder / "home"))
    try:
        status = process.wait(timeout=180)
    finally:
        started.stop()  # what it started outlives it for a while
    return status, started.log("stranger").read_text()


def online(fleet: RunningFleet) -> int:
    with control(fleet.fleet.server) as link:
        return sum(node.status == "online" for node in link.nodes())


def test_a_node_that_nobody_registered_is_refused(fleet: RunningFleet, tmp_path):
    make_node_key(tmp_path / "stranger")
    before = online(fleet)
    status, told = supernode(fleet, tmp_path / "stranger", fleet.fleet.server.authority, tmp_path)
    assert status != 0, told
    assert "SuperNode ID" not in told
    assert online(fleet) == before


def test_a_node_that_was_shut_out_is_refused_and_cannot_come_back(fleet: RunningFleet, tmp_path):
    public = read_node_key(make_node_key(tmp_path / "stolen"))
    with control(fleet.fleet.server) as link:
        link.unregister(link.register(public, "stolen"))
        assert "stolen" not in [node.name for node in link.nodes()]
    assert supernode(fleet, tmp_path / "stolen", fleet.fleet.server.authority, tmp_path)[0] != 0


def test_registering_a_key_twice_is_one_line(fleet: RunningFleet):
    public = read_node_key(fleet.fleet.node_key(0).with_name("0.key.pub"))
    with (
        pytest.raises(InputError, match=r"the SuperLink at .* refused: ") as caught,
        control(fleet.fleet.server) as link,
    ):
        link.register(public, "again")
    assert "\n" not in str(caught.value)


def test_a_node_refuses_a_server_of_another_authority(fleet: RunningFleet, tmp_path):
    """What a device sees when somebody stands between it and its server."""
    make_authority(tmp_path / "other.key", tmp_path / "other.pem", "test")
    status, told = supernode(fleet, fleet.fleet.node_key(0), tmp_path / "other.pem", tmp_path)
    assert status != 0
    assert "SuperNode ID" not in told
    assert "certificate" in told.lower() or "ssl" in told.lower()


@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/control/list-nodes", "/v1/runtime/acquire-task"])
def test_control_and_runtime_are_closed_to_the_outside_and_the_try_is_logged(fleet: RunningFleet, path):
    server = fleet.fleet.server
    context = ssl.create_default_context(cafile=str(server.authority))
    connection = http.client.HTTPSConnection("localhost", server.settings.port, timeout=20, context=context)
    connection.request("POST", path, b"", {"Content-Type": "application/x-protobuf"})
    assert connection.getresponse().status == 403
    connection.close()
    log = server.path / "state" / "access.jsonl"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        told = [json.loads(line) for line in log.read_text().splitlines()]
        if any(one["path"] == path and one["status"] == 403 for one in told):
            return
        time.sleep(0.1)
    pytest.fail("the refusal is not in the log")


def test_a_task_that_our_server_did_not_sign_is_refused_and_costs_nothing(fleet: RunningFleet):
    """The server's code on a SuperNode can ask the socket for anything; so can whoever runs code there."""
    socket, before = str(fleet.fleet.devices[0].socket), fleet.spent(0)
    unsigned = fleet.task(1).pack()
    with pytest.raises(InputError, match="the message is not signed"):
        ask(socket, "unsigned", TRAIN, unsigned)
    other = fleet.task(1).pack()
    sign(other, Ed25519PrivateKey.generate())
    with pytest.raises(InputError, match="signed with another key"):
        ask(socket, "other", TRAIN, other)
    changed = fleet.task(1).pack()
    sign(changed, read_task_key(fleet.fleet.server.task_key))
    changed["task"]["round"] = 2
    with pytest.raises(InputError, match="signature does not hold"):
        ask(socket, "changed", TRAIN, changed)
    assert fleet.spent(0) == before
