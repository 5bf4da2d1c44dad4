"""`everbloom deploy init`: a folder that a deployment can be started from. Nothing that is there is written over."""

import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from everbloom.errors import ConfigError
from server.deployment.certificates import (
    alternative_name,
    make_authority,
    make_server_certificate,
    make_task_key,
    open_authority,
    write_new,
)
from server.deployment.commands import scripts_folder, superexec_command, superlink_command
from server.deployment.folder import DeploymentFolder, Settings

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Always in the certificate: the proxy and the operator's commands reach the SuperLink there."""

TEMPLATES = (
    "everbloom-superlink.service",
    "everbloom-superexec.service",
    "everbloom-proxy.service",
    "everbloom-device.service",
    "everbloom-supernode.service",
    "Dockerfile.server",
    "Dockerfile.device",
    "compose.yaml",
)


def make_deployment(
    path: Path,
    hosts: Sequence[str],
    port: int = 443,
    link_port: int = 9091,
    listen: str = "",
    passphrase: bytes | None = None,
) -> DeploymentFolder:
    """`hosts`: what devices call the server, the first in their commands; `listen`: an address of the proxy's, default all. `passphrase` protects the
    authority's key.

    Raises `ConfigError` if `path` is not empty or a host is no name; nothing is written then.
    """
    if port == link_port:
        raise ConfigError(f"--port and --link-port are both {port}; the proxy and the SuperLink need one each")
    for host in hosts:
        alternative_name(host)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(
            f"{path}: exists and is not empty; a deployment is made in a new folder and never over another"
        )
    folder = DeploymentFolder(path.absolute())
    settings = Settings(tuple(dict.fromkeys([*hosts] or ["localhost"])), port, link_port)
    _make_folders(folder)
    authority = make_authority(
        folder.authority_key, folder.authority, f"everbloom {settings.hosts[0]}"[:64], passphrase
    )
    names = tuple(dict.fromkeys([*settings.hosts, *LOOPBACK]))
    make_server_certificate(folder.server_key, folder.server_certificate, names, authority)
    write_new(folder.public_task_key, f"{make_task_key(folder.task_key)}\n".encode(), 0o644)
    write_new(folder.executor_secret, secrets.token_bytes(32))
    _write_texts(folder, settings, listen)
    # Last: it says that there is a deployment.
    write_new(folder.settings_file, settings.to_json().encode(), 0o644)
    return folder


def renew_certificate(folder: DeploymentFolder, passphrase: bytes | None = None) -> None:
    """A new key and certificate of the server, under the same authority, so that devices need nothing new. The old pair is kept beside it."""
    authority = open_authority(folder.authority_key, folder.authority, passphrase)
    pair = (folder.server_key, folder.server_certificate)
    fresh = [path.with_name(f"{path.name}.new") for path in pair]
    for path in fresh:
        path.unlink(missing_ok=True)
    names = tuple(dict.fromkeys([*folder.settings.hosts, *LOOPBACK]))
    make_server_certificate(fresh[0], fresh[1], names, authority)
    for path, new in zip(pair, fresh, strict=True):
        path.replace(path.with_name(f"{path.name}.old"))
        new.replace(path)


def nginx_program() -> str | None:
    """Where nginx is; it often stands where only root's PATH leads."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin")


def _make_folders(folder: DeploymentFolder) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    for name, mode in (
        ("keys", 0o700),
        ("public", 0o755),
        ("state", 0o700),
        ("operator", 0o700),
        ("runs", 0o700),
        ("metrics", 0o755),
        ("units", 0o755),
    ):
        made = folder.path / name
        made.mkdir()
        made.chmod(mode)
    for name in ("superlink", "superexec", "home"):
        (folder.path / "state" / name).mkdir()


def _write_texts(folder: DeploymentFolder, settings: Settings, listen: str) -> None:
    scripts = scripts_folder()
    superlink, superexec = superlink_command(folder, settings), superexec_command(folder, settings)
    values = {
        "path": str(folder.path),
        "listen": f"{listen}:{settings.port}" if listen else str(settings.port),
        "port": str(settings.port),
        "link_port": str(settings.link_port),
        "address": settings.address,
        "certificate": str(folder.server_certificate),
        "key": str(folder.server_key),
        "authority": str(folder.authority),
        "superlink": _unit_command(superlink),
        "superexec": _unit_command(superexec),
        "superlink_list": _compose_list(superlink),
        "superexec_list": _compose_list(superexec),
        "supernode": str(scripts / "flower-supernode"),
        "device": str(scripts / "everbloom-device"),
        "nginx": nginx_program() or "/usr/sbin/nginx",
        "checkout": str(Path(sys.modules["server"].__path__[0]).parent),
    }
    write_new(folder.proxy_configuration, render("nginx.conf", values), 0o644)
    for name in TEMPLATES:
        where = folder.path / ("units" if name.endswith(".service") else "")
        write_new(where / name, render(name, values), 0o644)


def render(name: str, values: dict[str, str]) -> bytes:
    """A template with its values filled in; one that is missing is an error of ours."""
    text = (files("server.deployment") / "templates" / name).read_text(encoding="utf-8")
    return Template(text).substitute(values).encode()


def _unit_command(command: Sequence[str]) -> str:
    """As systemd reads it: a word with a space in quotes, percent signs doubled."""
    return " ".join(f'"{word}"' if " " in word else word for word in command).replace("%", "%%")


def _compose_list(command: Sequence[str]) -> str:
    """The same command by its name, as a list in YAML; the image has it in its PATH."""
    name, *arguments = command
    return "[" + ", ".join(f'"{word}"' for word in (Path(name).name, *arguments)) + "]"
