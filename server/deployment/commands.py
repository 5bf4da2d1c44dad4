"""The commands that start a deployment's parts, and the environment that they need. Units, containers and the local fleet start the same ones."""

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from server.deployment.folder import DeploymentFolder, Settings


def scripts_folder() -> Path:
    """Where this environment keeps its commands: an environment need not be activated for its Python to run."""
    return Path(sysconfig.get_path("scripts"))


def superlink_command(folder: DeploymentFolder, settings: Settings) -> list[str]:
    """Listens on the loopback alone; devices come through the proxy. What runs ServerApps is a process of its own, which outlives it and goes on when
    it is back: its database holds everything that is under way.
    """
    return [
        str(scripts_folder() / "flower-superlink"),
        *("--host", "127.0.0.1", "--port", str(settings.link_port)),
        *("--ssl-ca-certfile", str(folder.authority)),
        *("--ssl-certfile", str(folder.server_certificate)),
        *("--ssl-keyfile", str(folder.server_key)),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        *("--isolation", "process"),
        *("--superexec-auth-secret-file", str(folder.executor_secret)),
        *("--database", str(folder.database)),
    ]


def superexec_command(folder: DeploymentFolder, settings: Settings) -> list[str]:
    """Starts the ServerApp of a run."""
    return [
        str(scripts_folder() / "flower-superexec"),
        *("--runtime-api-address", settings.link_address),
        *("--root-certificates", str(folder.authority)),
        *("--superexec-auth-secret-file", str(folder.executor_secret)),
    ]


def supernode_command(address: str, authority: Path, key: Path, socket: Path, port: int) -> list[str]:
    """A device's SuperNode: `address` is the proxy's; `socket` the resident service's; `port` its own for what it starts."""
    return [
        str(scripts_folder() / "flower-supernode"),
        *("--superlink", address),
        *("--root-certificates", str(authority)),
        *("--auth-supernode-private-key", str(key)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--node-config", f'socket="{socket}"'),
    ]


def flower_environment(home: Path, poll_seconds: float = 0.5, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """For any of Flower's processes. A `home` each: processes that share one unpack the same bundle at the same time and import half of it."""
    home.mkdir(parents=True, exist_ok=True)
    return dict(os.environ if base is None else base) | {
        # Flower starts its own parts by name.
        "PATH": f"{scripts_folder()}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(poll_seconds),
        "PYTHONUNBUFFERED": "1",
    }
