"""A device's folder: who may read it, its policy, ledger, catalogue and socket."""

import stat
from pathlib import Path

from client.ledger import SqliteLedger
from client.service.catalogue_index import CatalogueIndex
from client.service.folder import DeviceFolder
from client.service.policy import read_policy
from everbloom.errors import ConfigError
from simulation.doctor.finding import Finding, looked, private

_LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path."""


def examine_device(path: Path) -> list[Finding]:
    """Everything about a device that can be told without its events."""
    folder = DeviceFolder(path.absolute())
    findings = [looked(lambda: f"{path}: device {folder.settings['client']}")]
    if not findings[0].fine:
        return findings
    findings += [looked(lambda: _passable(folder.path))]
    findings += [private(one) for one in (folder.store, folder.path / "secret.key", folder.path / "token")]
    findings += [looked(check) for check in (
        lambda: _policy(folder), lambda: _ledger(folder), lambda: _catalogue(folder), lambda: _socket(folder),
        lambda: _noise(folder),
    )]  # fmt: skip
    return findings


def _passable(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o067:
        raise ConfigError(
            f"{path}: others may read it (mode {mode:o}); chmod 700 it, the service opens what the SuperNode needs"
        )
    return f"{path}: nobody else may read it"


def _policy(folder: DeviceFolder) -> str:
    policy = read_policy(folder.policy)
    unsigned = [server.name for server in policy.servers if server.key is None]
    if unsigned:
        raise ConfigError(
            f'{folder.policy}: server {unsigned[0]!r} has no key: whoever gets at the SuperLink may ask in its name; add key = "..."'
        )
    servers = ", ".join(server.name for server in policy.servers) or "nobody"
    return f"{folder.policy}: epsilon {policy.epsilon:g} at delta {policy.delta:g} in all, for {servers}"


def _ledger(folder: DeviceFolder) -> str:
    account = SqliteLedger(folder.ledger, folder.settings["ledger"]).account()
    return f"{folder.ledger}: whole, {len(account.costs())} rounds charged"


def _catalogue(folder: DeviceFolder) -> str:
    index = CatalogueIndex(folder.index)
    try:
        return f"{folder.index}: {len(index)} items, {index.digest[:16]}"
    finally:
        index.close()


def _socket(folder: DeviceFolder) -> str:
    length = len(str(folder.socket).encode())
    if length > _LONGEST_SOCKET:
        raise ConfigError(
            f"{folder.socket}: {length} bytes, a socket's path has {_LONGEST_SOCKET} at most; use a folder with a shorter path"
        )
    return f"{folder.socket}: {'there' if folder.socket.exists() else 'made when the service starts'}"


def _noise(folder: DeviceFolder) -> str:
    if folder.settings["seed"] is not None:
        raise ConfigError(
            f"{folder.settings_file}: a rehearsal's, whose noise follows from a seed and protects nobody; make another for a person"
        )
    return "noise: AES-256-CTR, keyed by the operating system"
