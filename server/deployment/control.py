"""What an operator asks of the SuperLink, on its own machine: register a node, list nodes and runs, start and stop a run.

By Flower's own Control API, which the proxy does not let through.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from flwr.cli.build import build_fab_from_disk
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from everbloom.errors import ConfigError, InputError
from server.deployment.folder import DeploymentFolder


@dataclass(frozen=True)
class Node:
    """`status`: registered (never seen), online, offline or unregistered."""

    id: int
    name: str
    status: str
    last_seen: str


@dataclass(frozen=True)
class Run:
    """`status`: pending, starting, running or finished; `outcome`: completed, failed or stopped, once it is finished."""

    id: int
    status: str
    outcome: str
    details: str
    bytes_up: int
    bytes_down: int
    device_seconds: float
    """That ClientApps ran, on all devices together."""


class Control:
    """Open within `control`."""

    def __init__(self, client: ControlHttpClient) -> None:
        self._client = client

    def register(self, public_key: bytes, name: str) -> int:
        """The node's id. Raises `InputError` if the key is registered already."""
        return int(self._client.RegisterNode(RegisterNodeRequest(public_key=public_key, name=name)).node_id)

    def unregister(self, node: int) -> None:
        """The node is refused from now on, for good."""
        self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def nodes(self) -> list[Node]:
        """All that were registered and not removed, by id."""
        found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [
            Node(node.node_id, node.name, node.status, node.last_deactivated_at or node.last_activated_at)
            for node in sorted(found, key=lambda node: (node.name, node.node_id))
            if node.status != "unregistered"
        ]

    def runs(self) -> list[Run]:
        """The latest first."""
        found = self._client.ListRuns(ListRunsRequest()).run_dict.values()
        return [_run(one) for one in sorted(found, key=lambda one: str(one.pending_at), reverse=True)]

    def run(self, number: int) -> Run:
        """One run."""
        return _run(self._client.ListRuns(ListRunsRequest(run_id=number)).run_dict[number])

    def start(self, app: Path, config: Mapping[str, str | int | float | bool]) -> int:
        """Starts the app in a folder under this run configuration; returns the run's id."""
        content = build_fab_from_disk(app)
        bundle = Fab(hashlib.sha256(content).hexdigest(), content, {})
        request = StartRunRequest(fab=fab_to_proto(bundle), override_config=user_config_to_proto(dict(config)))
        response = self._client.StartRun(request)
        if not response.HasField("run_id"):
            raise InputError("the SuperLink did not start the run; look at its log")
        return int(response.run_id)

    def stop(self, number: int) -> None:
        """Ends a run; what it checkpointed stays."""
        self._client.StopRun(StopRunRequest(run_id=number))


@contextmanager
def control(folder: DeploymentFolder) -> Iterator[Control]:
    """Raises `ConfigError` if the SuperLink does not answer, `InputError` with its own line if it refuses."""
    address = folder.settings.link_address
    try:
        certificates = folder.authority.read_bytes()
    except OSError as error:
        raise ConfigError(f"{folder.authority}: cannot be read ({error.strerror})") from None
    client = ControlHttpClient.from_server_address(
        server_address=address,
        insecure=False,
        root_certificates=certificates,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    )
    try:
        yield Control(client)
    except httpx.HTTPStatusError as error:
        raise InputError(f"the SuperLink at {address} refused: {_reason(error.response)}") from None
    except httpx.TransportError as error:
        raise ConfigError(
            f"no SuperLink answers at {address} ({error}); start it, or run this on the machine that it runs on"
        ) from None
    finally:
        client.close()


def _run(told: Any) -> Run:
    status = told.status
    return Run(
        told.run_id,
        status.status,
        status.sub_status,
        status.details,
        int(told.bytes_recv),
        int(told.bytes_sent),
        round(float(told.clientapp_runtime), 3),
    )


def _reason(response: httpx.Response) -> str:
    try:
        told = response.json()
    except ValueError:
        told = {}
    reason = told.get("public_message") or told.get("message") or told.get("detail") or response.reason_phrase
    return f"{' '.join(str(reason).split())} (status {response.status_code})"
