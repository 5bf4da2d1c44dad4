"""Keys and certificates: who trusts whom, in a real TLS handshake; who may read what; nothing is written over."""

import ipaddress
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from everbloom.errors import ConfigError
from server.deployment.certificates import (
    make_authority,
    make_node_key,
    make_server_certificate,
    make_task_key,
    open_authority,
    public_task_key,
    read_node_key,
    read_task_key,
)


@pytest.fixture
def made(tmp_path) -> Path:
    authority = make_authority(tmp_path / "ca.key", tmp_path / "ca.pem", "test")
    make_server_certificate(
        tmp_path / "s.key", tmp_path / "s.pem", ["fleet.example.org", "127.0.0.1", "localhost"], authority
    )
    return tmp_path


def handshake(folder: Path, name: str, trusted: Path) -> None:
    """A device's handshake with a server that has this folder's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "s.pem", folder / "s.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            try:
                context.wrap_socket(accepted, server_side=True).close()
            except OSError:
                accepted.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            plain = socket.create_connection(listening.getsockname(), timeout=10)
            client = ssl.create_default_context(cafile=str(trusted))
            with client.wrap_socket(plain, server_hostname=name):
                pass
        finally:
            plain.close()
            thread.join()


@pytest.mark.parametrize("name", ["fleet.example.org", "127.0.0.1", "localhost"])
def test_devices_trust_the_server_under_all_of_its_names(made, name):
    handshake(made, name, made / "ca.pem")


def test_another_name_or_another_authority_is_refused(made, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match=r"Hostname mismatch"):
        handshake(made, "evil.example.org", made / "ca.pem")
    make_authority(tmp_path / "other.key", tmp_path / "other.pem", "test")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, "localhost", tmp_path / "other.pem")


def test_a_server_certificate_signs_nothing(made):
    server = x509.load_pem_x509_certificate((made / "s.pem").read_bytes())
    constraints = server.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fleet.example.org", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]


def test_keys_are_their_owners_alone_whatever_the_umask(tmp_path, monkeypatch):
    import os

    before = os.umask(0)
    try:
        make_authority(tmp_path / "ca.key", tmp_path / "ca.pem", "test")
        make_task_key(tmp_path / "tasks.key")
        public = make_node_key(tmp_path / "node")
    finally:
        os.umask(before)
    for name in ("ca.key", "tasks.key", "node"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644


def test_a_node_key_is_what_flower_wants(tmp_path):
    public = make_node_key(tmp_path / "node")
    assert public.read_text().startswith("ecdsa-sha2-nistp384 ")
    key = load_ssh_private_key((tmp_path / "node").read_bytes(), None)
    assert read_node_key(public).startswith(b"-----BEGIN PUBLIC KEY-----")
    assert key.public_key() is not None


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0G5cX2uJ7vJ2fP2v7G3s4t5u6v7w8x9y0z1a2b3c4d x"]
)
def test_another_kind_of_key_is_one_line(tmp_path, text):
    (tmp_path / "node.pub").write_text(text)
    with pytest.raises(ConfigError, match=r"expected a(n elliptic-curve| public) key"):
        read_node_key(tmp_path / "node.pub")


def test_nothing_is_written_over(made):
    with pytest.raises(ConfigError, match="exists already"):
        make_authority(made / "ca.key", made / "new.pem", "test")
    assert not (made / "new.pem").exists()


def test_a_passphrase_protects_the_authority(tmp_path):
    make_authority(tmp_path / "ca.key", tmp_path / "ca.pem", "test", b"word")
    assert b"ENCRYPTED" in (tmp_path / "ca.key").read_bytes()
    open_authority(tmp_path / "ca.key", tmp_path / "ca.pem", b"word")
    for wrong in (None, b"other"):
        with pytest.raises(ConfigError, match="cannot be used"):
            open_authority(tmp_path / "ca.key", tmp_path / "ca.pem", wrong)


@pytest.mark.parametrize("host", ["https://a.org", "a.org:443", "", "a..b", "-a.org", "größe.org", "a b"])
def test_a_host_that_is_no_name_is_refused(tmp_path, host):
    authority = make_authority(tmp_path / "ca.key", tmp_path / "ca.pem", "test")
    with pytest.raises(ConfigError, match="expected a DNS name or an IP address"):
        make_server_certificate(tmp_path / "s.key", tmp_path / "s.pem", [host], authority)
    assert not (tmp_path / "s.key").exists()


def test_the_task_key_is_read_back(tmp_path):
    public = make_task_key(tmp_path / "tasks.key")
    assert public == public_task_key(tmp_path / "tasks.key")
    assert len(public) == 64
    make_authority(tmp_path / "ca.key", tmp_path / "ca.pem", "test")
    with pytest.raises(ConfigError, match="expected an Ed25519 key"):
        read_task_key(tmp_path / "ca.key")
