"""A deployment's folder: which files there are, and what they say."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from everbloom.errors import ConfigError

FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """`hosts`: names and addresses that devices use. `port`: of the proxy, for devices. `link_port`: of the SuperLink itself, on loopback alone."""

    hosts: tuple[str, ...]
    port: int = 443
    link_port: int = 9091
    format: int = FORMAT

    @property
    def address(self) -> str:
        """What devices connect to."""
        host = self.hosts[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def link_address(self) -> str:
        """Where the operator's commands find the SuperLink, on its own machine."""
        return f"127.0.0.1:{self.link_port}"

    def to_json(self) -> str:
        """As `deployment.json`."""
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True)
class DeploymentFolder:
    """`keys/` is the operator's alone. `public/` is what devices get."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Hosts and ports."""
        return self.path / "deployment.json"

    @cached_property
    def settings(self) -> Settings:
        """Raises `ConfigError` if there is no deployment."""
        try:
            told = json.loads(self.settings_file.read_text(encoding="utf-8"))
            if told.get("format") != FORMAT:
                raise ConfigError(
                    f"{self.settings_file}: of format {told.get('format')}, this version of everbloom reads format {FORMAT}"
                )
            return Settings(tuple(map(str, told["hosts"])), int(told["port"]), int(told["link_port"]))
        except FileNotFoundError:
            raise ConfigError(
                f"{self.path}: no deployment here; make one with: everbloom deploy init {self.path} --host NAME"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.settings_file}: damaged ({error!r}); restore it from a backup") from None

    @property
    def keys(self) -> Path:
        """Private keys."""
        return self.path / "keys"

    @property
    def authority_key(self) -> Path:
        """Signs server certificates: whoever has it can pass for the server. Needed again only to renew; keep it off the server."""
        return self.keys / "authority.key"

    @property
    def authority(self) -> Path:
        """What devices trust."""
        return self.path / "public" / "authority.pem"

    @property
    def server_key(self) -> Path:
        """TLS of the proxy and of the SuperLink behind it."""
        return self.keys / "server.key"

    @property
    def server_certificate(self) -> Path:
        """For `hosts` and the loopback."""
        return self.path / "public" / "server.pem"

    @property
    def task_key(self) -> Path:
        """Signs what devices are asked."""
        return self.keys / "tasks.key"

    @property
    def executor_secret(self) -> Path:
        """By which the SuperLink knows the process that runs its ServerApps."""
        return self.keys / "superexec.secret"

    @property
    def public_task_key(self) -> Path:
        """The key's public half, in hexadecimal: `key` in an owner's policy."""
        return self.path / "public" / "tasks.pub"

    @property
    def database(self) -> Path:
        """The SuperLink's: nodes, runs, messages under way."""
        return self.path / "state" / "superlink.db"

    @property
    def operator_home(self) -> Path:
        """FLWR_HOME of the operator's commands."""
        return self.path / "operator"

    @property
    def catalogue(self) -> Path:
        """Of a server that has no data set: the catalogue's versions."""
        return self.path / "catalogue"

    @property
    def runs(self) -> Path:
        """One run directory each."""
        return self.path / "runs"

    @property
    def metrics(self) -> Path:
        """Of the latest round, for Prometheus' node exporter: `--collector.textfile.directory` names its folder."""
        return self.path / "metrics" / "everbloom.prom"

    @property
    def proxy_configuration(self) -> Path:
        """nginx's."""
        return self.path / "nginx.conf"
