"""The SuperNode's user, who runs the server's code: with `--socket-group` it may ask on the socket, and read nothing of the device's folder."""

import grp
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict
from served_devices import Service

from client.app import ask
from client.personal import StoredPersonal
from client.service.folder import DeviceFolder
from client.service.making import make_device
from everbloom.errors import InputError
from everbloom.wire import HELLO

STRANGER = 61_234
"""A user without a name."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another user can be tried by root alone")


def tried_as(group: int, what: Callable[[], Any]) -> Any:
    """What another user, who is in this group alone, gets: a process of its own that gives up everything else."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([group])
            os.setgid(group)
            os.setuid(STRANGER)
            os.write(writing, json.dumps(what()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        told = stream.read()
    os.waitpid(child, 0)
    return json.loads(told)


@pytest.fixture
def device(device_study: Any) -> Iterator[DeviceFolder]:
    """In a place that every user may pass, as a device's folder has."""
    place = Path(tempfile.mkdtemp(prefix="everbloom-device-"))
    place.chmod(0o755)
    try:
        yield make_device(place / "d", device_study.dataset.catalog, 2, epsilon=40.0, delta=1e-3, min_cohort=5, seed=3)
    finally:
        shutil.rmtree(place)


def hello(folder: DeviceFolder) -> str:
    try:
        return str(ask(str(folder.socket), "m", HELLO, RecordDict()).config_records["hello"]["client"])
    except InputError as error:
        return str(error)


def opened(folder: DeviceFolder) -> list[str]:
    """Files outside the public catalogue that can be read, and folders that can be listed."""
    found = []
    for path in [Path(name) for name in KNOWN]:
        try:
            if path.is_dir():
                list(path.iterdir())
            else:
                path.read_bytes()
            found.append(path.name)
        except PermissionError:
            continue
    return found


KNOWN: list[str] = []
"""Every path in the folder, as somebody knows who has a device of their own."""


def test_who_is_in_the_group_may_ask_and_reads_nothing(device, device_study, task, own_events):
    group = grp.getgrall()[1]
    service = Service(device, group=group.gr_name).start()
    try:
        service.call("POST", "/events", body={"events": own_events})
        service.ask("m1", task)
        service.call("GET", "/recommendations")
        StoredPersonal(device.personal).save(task, np.ones(3, np.float32))
        public = {"catalog", "catalogue.sqlite"}
        KNOWN[:] = [str(path) for path in [device.path, *device.path.rglob("*")] if not public & set(path.parts)]
        KNOWN[:] = [path for path in KNOWN if not Path(path).is_socket()]
        assert {"private.sqlite", "ledger.sqlite", "token", "policy.toml", "secret.key", "personal.safetensors"} <= {
            Path(one).name for one in KNOWN
        }
        assert tried_as(group.gr_gid, lambda: hello(device)) == "2"
        assert tried_as(group.gr_gid, lambda: opened(device)) == []
        assert "no device service answers" in tried_as(group.gr_gid + 1, lambda: hello(device))
        assert tried_as(group.gr_gid + 1, lambda: opened(device)) == []
    finally:
        service.kill()


def test_without_a_group_nobody_else_may_ask(device):
    service = Service(device).start()
    try:
        assert hello(device) == "2"
        assert "no device service answers" in tried_as(grp.getgrall()[1].gr_gid, lambda: hello(device))
    finally:
        service.kill()


def test_a_group_that_there_is_not_is_one_line(device):
    import subprocess
    import sys

    words = ["serve", "--port", "0", "-d", str(device.path), "--socket-group", "no-such-group"]
    told = subprocess.run(
        [sys.executable, "-m", "client.cli", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert told.returncode == 2
    assert "--socket-group no-such-group" in told.stderr
    assert "Traceback" not in told.stderr
