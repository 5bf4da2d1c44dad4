"""The processes of a fleet on this machine's loopback: the server's parts as `everbloom deploy init` makes them, devices and their SuperNodes."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from client.service.folder import DeviceFolder
from everbloom.errors import ConfigError, InputError
from everbloom.study import Study
from server.deployment.certificates import make_node_key, public_task_key, read_node_key
from server.deployment.commands import flower_environment, superexec_command, superlink_command, supernode_command
from server.deployment.control import control
from server.deployment.folder import DeploymentFolder
from server.deployment.making import make_deployment, nginx_program
from simulation.fleet.devices import make_devices
from simulation.processes import Processes, answers, free_ports

MOST_DEVICES = 16
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1
LINK, EXEC, PROXY = "superlink", "superexec", "proxy"


def device_name(number: int) -> str:
    """Of a device's service, in logs."""
    return f"device-{number}"


def node_name(number: int) -> str:
    """Of a device's SuperNode, in logs and in the SuperLink's list."""
    return f"supernode-{number}"


class Fleet:
    """`folder` is scratch: `server/` is a deployment, `devices/` one folder each. Parts can be stopped and started again one by one."""

    def __init__(self, study: Study, folder: Path, started: Processes, seeded: bool, spare: float = 2.0) -> None:
        """Makes the deployment and the devices; starts nothing. `seeded`, `spare`: see `make_devices`.

        Raises `ConfigError` without nginx, or for too many devices for one machine.
        """
        if study.clients > MOST_DEVICES:
            raise ConfigError(
                f"--devices {study.clients}: each is a SuperNode and a service of some 800 MB together when it trains; at most {MOST_DEVICES} here"
            )
        if nginx_program() is None:
            raise ConfigError("nginx is not installed, and a fleet has a proxy: apt-get install nginx-light")
        self.started = started
        self.folder = folder
        self._environment = dict(os.environ)
        link, proxy, *self._node_ports = free_ports(2 + study.clients)
        self.server: DeploymentFolder = make_deployment(folder / "server", ["localhost"], proxy, link, "127.0.0.1")
        self.devices: list[DeviceFolder] = make_devices(
            study, folder / "devices", public_task_key(self.server.task_key), seeded, spare
        )
        self.settings = self.server.settings

    def start(self) -> None:
        """Everything, the server first; returns when all devices are connected. Raises `InputError` if a part does not come up."""
        self.start_link()
        self.start_executor()
        self.start_proxy()
        for number in range(len(self.devices)):
            self.start_device(number)
        for number in range(len(self.devices)):
            self._wait(device_name(number), self.devices[number].socket.exists)
            self.register(number)
            self.start_node(number)
        self.wait_for_nodes(len(self.devices))

    def stop(self) -> None:
        """Asks all to end, devices first, so that each can say goodbye to the next; whoever does not is killed by the block that they run in."""
        numbers = range(len(self.devices))
        self.started.ask_to_end([node_name(number) for number in numbers], _STOP_SECONDS)
        self.started.ask_to_end([*map(device_name, numbers), EXEC], _STOP_SECONDS)
        self.started.ask_to_end([PROXY, LINK], _STOP_SECONDS)

    def start_link(self) -> None:
        """The SuperLink."""
        command = superlink_command(self.server, self.settings)
        self.started.start(
            LINK, command, flower_environment(self.server.path / "state" / "superlink", base=self._environment)
        )
        self._wait(LINK, lambda: answers(self.settings.link_port))

    def start_executor(self) -> None:
        """What runs the ServerApp."""
        command = superexec_command(self.server, self.settings)
        self.started.start(
            EXEC,
            command,
            flower_environment(self.server.path / "state" / "superexec", _POLL_SECONDS, self._environment),
        )

    def start_proxy(self) -> None:
        """nginx, with the configuration of the deployment."""
        command = [str(nginx_program()), "-c", str(self.server.proxy_configuration)]
        if os.geteuid() == 0:  # its workers would be nobody, who cannot write here
            command += ["-g", "user root;"]
        self.started.start(PROXY, command, self._environment)
        self._wait(PROXY, lambda: answers(self.settings.port))

    def start_device(self, number: int) -> None:
        """A resident service."""
        command = [
            sys.executable,
            "-m",
            "client.cli",
            "serve",
            "--device",
            str(self.devices[number].path),
            "--port",
            "0",
        ]
        self.devices[number].socket.unlink(missing_ok=True)
        self.started.start(device_name(number), command, self._environment | {"OMP_NUM_THREADS": "1"})

    def register(self, number: int) -> int:
        """Makes a node's key and registers its public half; returns the node's id."""
        public = make_node_key(self.node_key(number))
        with control(self.server) as link:
            return link.register(read_node_key(public), node_name(number))

    def node_key(self, number: int) -> Path:
        """A SuperNode's private key."""
        keys = self.folder / "nodes"
        keys.mkdir(mode=0o700, exist_ok=True)
        return keys / f"{number}.key"

    def start_node(self, number: int, address: str | None = None) -> None:
        """A SuperNode, which connects through the proxy, or to `address` in front of it."""
        command = supernode_command(
            address or self.settings.address,
            self.server.authority,
            self.node_key(number),
            self.devices[number].socket,
            self._node_ports[number],
        )
        home = self.folder / "homes" / str(number)
        self.started.start(node_name(number), command, flower_environment(home, _POLL_SECONDS, self._environment))

    def wait_for_nodes(self, count: int) -> None:
        """Until so many are connected."""

        def connected() -> bool:
            with control(self.server) as link:
                return sum(node.status == "online" for node in link.nodes()) >= count

        self._wait(LINK, connected)

    def parts(self) -> list[str]:
        """Names of all processes that should be running."""
        numbers = range(len(self.devices))
        return [LINK, EXEC, PROXY, *map(device_name, numbers), *map(node_name, numbers)]

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            self.started.check([name])
            if time.monotonic() > deadline:
                raise InputError(
                    f"{name} did not come up in {_START_SECONDS:.0f} s; its log is {self.started.log(name)}"
                )
            time.sleep(0.2)
