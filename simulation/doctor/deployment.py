"""A deployment's folder, on the server: keys, certificates, proxy, ports."""

import datetime
import ipaddress
import socket
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from everbloom.errors import ConfigError
from server.deployment.certificates import alternative_name, public_task_key
from server.deployment.folder import DeploymentFolder
from server.deployment.making import LOOPBACK, nginx_program
from simulation.doctor.finding import Finding, looked, private
from simulation.doctor.reach import examine_server, handshake
from simulation.processes import answers

SOON = datetime.timedelta(days=30)


def examine_deployment(path: Path) -> list[Finding]:
    """Everything about a deployment that can be told on its server."""
    folder = DeploymentFolder(path.absolute())
    findings = [looked(lambda: f"{path}: devices connect to {folder.settings.address}")]
    if not findings[0].fine:
        return findings
    findings += [private(one) for one in (folder.keys, folder.server_key, folder.task_key, folder.executor_secret)]
    if folder.authority_key.exists():
        findings.append(private(folder.authority_key))
    if folder.database.exists():
        findings.append(private(folder.database.parent))
    findings += [looked(check) for check in (
        lambda: _names(folder), lambda: _signed(folder), lambda: _expiry(folder.server_certificate),
        lambda: _expiry(folder.authority), lambda: _pair(folder), lambda: _task_key(folder), lambda: _proxy(folder),
        lambda: _port(folder, folder.settings.link_port, "SuperLink"), lambda: _port(folder, folder.settings.port, "proxy"),
        lambda: _hidden(folder),
    )]  # fmt: skip
    if answers(folder.settings.port):
        findings += examine_server(f"localhost:{folder.settings.port}", folder.authority)
    return findings


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no certificate can be read here ({error})") from None


def _names(folder: DeploymentFolder) -> str:
    certificate = _certificate(folder.server_certificate)
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    missing = [host for host in (*folder.settings.hosts, *LOOPBACK) if alternative_name(host) not in found]
    if missing:
        raise ConfigError(
            f"{folder.server_certificate}: not for {', '.join(missing)}; devices that use this name refuse it; run: everbloom deploy renew"
        )
    return f"{folder.server_certificate}: for {', '.join(folder.settings.hosts)} and the loopback"


def _signed(folder: DeploymentFolder) -> str:
    try:
        _certificate(folder.server_certificate).verify_directly_issued_by(_certificate(folder.authority))
    except (InvalidSignature, ValueError, TypeError):
        raise ConfigError(
            f"{folder.server_certificate}: not signed by {folder.authority}, which is what devices trust; run: everbloom deploy renew"
        ) from None
    return f"{folder.server_certificate}: signed by {folder.authority.name}"


def _expiry(path: Path) -> str:
    certificate, now = _certificate(path), datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        raise ConfigError(
            f"{path}: valid from {certificate.not_valid_before_utc:%Y-%m-%d} on; look at this machine's clock"
        )
    left = certificate.not_valid_after_utc - now
    if left < SOON:
        raise ConfigError(
            f"{path}: ends on {certificate.not_valid_after_utc:%Y-%m-%d}, {max(left.days, 0)} days left; run: everbloom deploy renew"
        )
    return f"{path}: valid until {certificate.not_valid_after_utc:%Y-%m-%d}"


def _pair(folder: DeploymentFolder) -> str:
    try:
        key = load_pem_private_key(folder.server_key.read_bytes(), None).public_key()
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{folder.server_key}: cannot be used ({error}); run: everbloom deploy renew") from None
    ours, theirs = (
        one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for one in (key, _certificate(folder.server_certificate).public_key())
    )
    if ours != theirs:
        raise ConfigError(
            f"{folder.server_key}: not the key of {folder.server_certificate}; run: everbloom deploy renew"
        )
    return f"{folder.server_key}: belongs to the certificate"


def _task_key(folder: DeploymentFolder) -> str:
    if public_task_key(folder.task_key) != folder.public_task_key.read_text(encoding="utf-8").strip():
        raise ConfigError(
            f"{folder.public_task_key}: not the public half of {folder.task_key}; devices would refuse every task"
        )
    return f"{folder.task_key}: belongs to the key that devices know"


def _proxy(folder: DeploymentFolder) -> str:
    program = nginx_program()
    if program is None:
        raise ConfigError(
            "nginx is not installed; apt-get install nginx-light, or put another proxy before the SuperLink"
        )
    told = subprocess.run(
        [program, "-t", "-q", "-c", str(folder.proxy_configuration)], capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise ConfigError(
            f"{folder.proxy_configuration}: {told.stderr.strip().splitlines()[0] if told.stderr.strip() else 'nginx refuses it'}"
        )
    return f"{folder.proxy_configuration}: nginx takes it"


def _port(folder: DeploymentFolder, port: int, part: str) -> str:
    """Free, or ours."""
    if answers(port):
        try:
            handshake("localhost", port, folder.authority)
        except OSError as error:
            raise ConfigError(
                f"port {port} of the {part}: somebody else listens there ({error}); stop it or choose another port"
            ) from None
        return f"port {port}: the {part} is running"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of the {part}: cannot be used ({error.strerror}); below 1024 it takes CAP_NET_BIND_SERVICE"
            ) from None
    return f"port {port}: free for the {part}"


def _hidden(folder: DeploymentFolder) -> str:
    """The SuperLink answers on the loopback and nowhere else: its port is also that of the Control API."""
    for address in _own_addresses():
        try:
            socket.create_connection((address, folder.settings.link_port), timeout=1.0).close()
        except OSError:
            continue
        raise ConfigError(
            f"the SuperLink's port {folder.settings.link_port} answers on {address}: whoever reaches it can run code on every device; "
            "start it with --host 127.0.0.1"
        )
    return f"port {folder.settings.link_port}: on the loopback alone"


def _own_addresses() -> list[str]:
    """Of this machine, but for the loopback's."""
    found = {str(one[4][0]) for one in socket.getaddrinfo(socket.gethostname(), None)} if _named() else set()
    return sorted(one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_loopback)


def _named() -> bool:
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return False
    return True
