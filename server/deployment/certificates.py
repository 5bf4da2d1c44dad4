"""Keys and certificates of a deployment: its own authority, a server certificate for the names that devices use, keys of nodes and of tasks.

The authority is for this deployment alone: devices trust it for their SuperLink and for nothing else. All keys are written with mode 0600 and never
over another.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from everbloom.errors import ConfigError

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
"""What browsers and operating systems accept at most; `everbloom doctor` warns a month before."""
_MINUTE = datetime.timedelta(minutes=1)

ServerKey = ec.EllipticCurvePrivateKey


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file that must not exist, whole and on disk. Raises `ConfigError` if something is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already and is not written over; move it away first") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), mode)  # whatever the umask
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def make_authority(
    key_path: Path, certificate_path: Path, name: str, passphrase: bytes | None = None
) -> tuple[ServerKey, x509.Certificate]:
    """A new certificate authority that may sign server certificates and no further authority."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(subject, subject, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA384())
    )
    protection: KeySerializationEncryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    )
    write_new(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    write_new(certificate_path, certificate.public_bytes(Encoding.PEM), 0o644)
    return key, certificate


def open_authority(
    key_path: Path, certificate_path: Path, passphrase: bytes | None = None
) -> tuple[ServerKey, x509.Certificate]:
    """The authority of a deployment. Raises `ConfigError` if it is not there, or its key needs another passphrase."""
    try:
        key = load_pem_private_key(key_path.read_bytes(), passphrase)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{key_path}: the authority's key cannot be used ({error}); restore it") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{key_path}: expected an elliptic-curve key")
    return key, certificate


def make_server_certificate(
    key_path: Path, certificate_path: Path, hosts: Sequence[str], authority: tuple[ServerKey, x509.Certificate]
) -> None:
    """A key and a certificate for `hosts`, DNS names or addresses, in the order given; the first is the subject."""
    authority_key, authority_certificate = authority
    names = [alternative_name(host) for host in hosts]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    certificate = (
        _builder(subject, authority_certificate.subject, key, SERVER_DAYS, authority_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    write_new(key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_new(certificate_path, certificate.public_bytes(Encoding.PEM), 0o644)


def alternative_name(host: str) -> x509.GeneralName:
    """A subject alternative name. Raises `ConfigError` if `host` is neither a DNS name nor an address."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.removeprefix("*.").split(".")
    if not host.isascii() or not all(
        0 < len(label) < 64 and label.replace("-", "a").isalnum() and label[0] != "-" and label[-1] != "-"
        for label in labels
    ):
        raise ConfigError(f"--host {host!r}: expected a DNS name or an IP address, without port or scheme")
    return x509.DNSName(host)


def make_node_key(path: Path) -> Path:
    """A SuperNode's key in OpenSSH's form, which Flower wants, and its public half beside it (`.pub`), which the operator registers."""
    key = ec.generate_private_key(ec.SECP384R1())
    write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = path.with_name(f"{path.name}.pub")
    write_new(public, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n", 0o644)
    return public


def read_node_key(path: Path) -> bytes:
    """The PEM bytes by which Flower registers a node's public key. Raises `ConfigError` unless it is one of a NIST curve in OpenSSH's form."""
    try:
        key = load_ssh_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: no public key can be read here ({error.strerror})") from None
    except ValueError:
        raise ConfigError(
            f"{path}: expected a public key in OpenSSH's form (ecdsa-sha2-nistp...); make one with: everbloom deploy node-key NAME"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigError(
            f"{path}: expected an elliptic-curve key (NIST P-256, P-384 or P-521), this one is another kind"
        )
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def make_task_key(path: Path) -> str:
    """The key that signs what the server asks of devices; returns its public half, which owners put into their policies."""
    key = Ed25519PrivateKey.generate()
    write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def read_task_key(path: Path) -> Ed25519PrivateKey:
    """Raises `ConfigError` if there is none."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: no key that signs tasks can be read here ({error})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: expected an Ed25519 key")
    return key


def public_task_key(path: Path) -> str:
    """The public half in hexadecimal, as a policy's `key`."""
    return read_task_key(path).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ServerKey, days: int, issuer_key: ServerKey | None = None
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    signer = (issuer_key or key).public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 5 * _MINUTE)  # devices' clocks differ a little
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
