"""`everbloom doctor` finds what is wrong, in one line each, and nothing where nothing is."""

import datetime
from pathlib import Path

import pytest

from client.service.making import make_device
from everbloom.errors import ConfigError
from server.deployment import certificates
from server.deployment.folder import DeploymentFolder, Settings
from server.deployment.making import make_deployment, nginx_program, renew_certificate
from simulation.doctor import examine, machine, reach
from simulation.processes import free_ports


def faults(folder: Path | None, server: str | None = None) -> list[str]:
    found = [finding.text for finding in examine(folder, server, None) if not finding.fine]
    assert all("\n" not in text for text in found)
    return found


@pytest.fixture
def deployment(tmp_path, everbloom_home) -> DeploymentFolder:
    if nginx_program() is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    return make_deployment(tmp_path / "d", ["fleet.example.org"], *free_ports(2))


def test_a_fresh_deployment_has_no_fault(deployment):
    assert faults(deployment.path) == []


def test_keys_that_others_can_read(deployment):
    deployment.task_key.chmod(0o644)
    deployment.keys.chmod(0o755)
    assert faults(deployment.path) == [
        f"{deployment.keys}: others may use it (mode 755); chmod 700 it",
        f"{deployment.task_key}: others may use it (mode 644); chmod 600 it",
    ]


def test_a_certificate_that_ends_soon_or_is_for_other_names(deployment, monkeypatch):
    monkeypatch.setattr(certificates, "SERVER_DAYS", 20)
    renew_certificate(deployment)
    (told,) = faults(deployment.path)
    assert "19 days left; run: everbloom deploy renew" in told
    monkeypatch.setattr(certificates, "SERVER_DAYS", 300)
    renew_certificate(deployment)
    deployment.settings_file.write_text(
        Settings(
            ("fleet.example.org", "new.example.org"), deployment.settings.port, deployment.settings.link_port
        ).to_json()
    )
    (told,) = faults(deployment.path)
    assert "not for new.example.org" in told


def test_a_key_that_belongs_to_another_certificate_or_authority(deployment, tmp_path):
    other = make_deployment(tmp_path / "other", ["fleet.example.org"], 18443)
    deployment.server_key.write_bytes(other.server_key.read_bytes())
    assert any("not the key of" in told for told in faults(deployment.path))
    deployment.server_certificate.write_bytes(other.server_certificate.read_bytes())
    assert any("not signed by" in told for told in faults(deployment.path))
    deployment.task_key.write_bytes(other.task_key.read_bytes())
    assert any("devices would refuse every task" in told for told in faults(deployment.path))


def test_a_port_that_somebody_else_has(deployment):
    import socket

    with socket.create_server(("127.0.0.1", deployment.settings.link_port)) as other:
        other.settimeout(0.2)
        found = faults(deployment.path)
    assert any(
        f"port {deployment.settings.link_port} of the SuperLink: somebody else listens there" in told for told in found
    )


def test_a_broken_proxy_configuration(deployment):
    deployment.proxy_configuration.write_text(
        deployment.proxy_configuration.read_text().replace("location / {", "locations / {")
    )
    assert any("unknown directive" in told for told in faults(deployment.path))


@pytest.fixture
def device(small, study_of, tmp_path):
    return make_device(tmp_path / "device", study_of(small()).dataset.catalog, policy=None, epsilon=2.0, delta=1e-5)


def test_a_device(device):
    (told,) = faults(device.path)
    assert "has no key: whoever gets at the SuperLink may ask in its name" in told
    device.policy.write_text(device.policy.read_text().replace('# key = "..."', f'key = "{"0" * 64}"'))
    assert faults(device.path) == []
    device.ledger.write_bytes(b"nonsense" * 1000)
    device.store.chmod(0o644)
    found = faults(device.path)
    assert len(found) == 2
    assert any("ledger" in told for told in found)


def test_a_rehearsals_device_protects_nobody(small, study_of, tmp_path):
    made = make_device(tmp_path / "d", study_of(small()).dataset.catalog, epsilon=2.0, delta=1e-5, seed=1)
    assert any("protects nobody" in told for told in faults(made.path))


def test_a_folder_that_is_neither_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="neither a deployment"):
        examine(tmp_path, None, None)


def test_a_full_disk_a_wrong_clock_and_an_old_package(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    monkeypatch.setattr(machine.time, "time", lambda: datetime.datetime(1999, 1, 1).timestamp())
    real = machine.version
    monkeypatch.setattr(machine, "version", lambda name: "0.1" if name == "flwr" else real(name))
    found = faults(None)
    assert len(found) == 3
    assert "flwr 0.1 where" in found[0]
    assert "before this program was installed" in found[1]
    assert "GB free" in found[2]


def test_a_server_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr(reach, "_SECONDS", 1.0)
    (port,) = free_ports(1)
    assert any("cannot be reached" in told for told in faults(None, f"127.0.0.1:{port}"))
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        examine(None, "fleet.example.org", None)
