"""`deploy init`: what it writes is what nginx, systemd and compose take; nothing that is there is written over."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from everbloom.errors import ConfigError
from server.deployment.certificates import open_authority
from server.deployment.folder import DeploymentFolder, Settings
from server.deployment.making import make_deployment, nginx_program, renew_certificate


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> DeploymentFolder:
    return make_deployment(tmp_path_factory.mktemp("deploy") / "ment", ["fleet.example.org", "10.0.0.7"], 18443, 18091)


def test_it_is_complete_and_private(made):
    assert made.settings == Settings(("fleet.example.org", "10.0.0.7"), 18443, 18091)
    assert made.settings.address == "fleet.example.org:18443"
    for path in made.path.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.parent == made.keys:
            assert mode == 0o600, path
        elif path.is_dir() and path.name in ("keys", "state", "operator", "runs"):
            assert mode == 0o700, path
    assert len(made.public_task_key.read_text().strip()) == 64


def test_nginx_takes_the_configuration(made):
    program = nginx_program()
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    told = subprocess.run(
        [program, "-t", "-c", str(made.proxy_configuration)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "warn" not in told.stderr


def test_systemd_takes_the_units(made, tmp_path):
    program = shutil.which("systemd-analyze")
    units = sorted((made.path / "units").iterdir())
    assert [unit.name for unit in units] == [
        "everbloom-device.service", "everbloom-proxy.service", "everbloom-superexec.service",
        "everbloom-superlink.service", "everbloom-supernode.service",
    ]  # fmt: skip
    for unit in units:
        text = unit.read_text()
        assert "$" not in text.replace("$MAINPID", "")
        for key in ("User=", "NoNewPrivileges=", "ProtectSystem=strict", "Restart=always"):
            assert key in text or (key == "NoNewPrivileges=" and "AmbientCapabilities" in text), unit
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    told = subprocess.run([program, "verify", *map(str, units)], capture_output=True, text=True, check=False)
    # Programs that are not installed here are no fault of the units.
    faults = [line for line in told.stderr.splitlines() if "is not executable" not in line and "everbloom-" in line]
    assert faults == []


def test_compose_starts_what_the_units_start_and_shows_the_proxy_alone(made):
    services = yaml.safe_load((made.path / "compose.yaml").read_text())["services"]
    assert sorted(services) == ["proxy", "superexec", "superlink"]
    for name in ("superlink", "superexec"):
        (line,) = re.findall(
            r"^ExecStart=(.*)$", (made.path / "units" / f"everbloom-{name}.service").read_text(), re.MULTILINE
        )
        program, *arguments = line.split(" ")
        assert services[name]["command"] == [Path(program).name, *arguments]
    assert services["superlink"]["ports"] == ["18443:18443"]
    assert all("authority.key" not in str(service) for service in services.values())
    assert services["superlink"]["command"][1:5] == ["--host", "127.0.0.1", "--port", "18091"]


@pytest.mark.parametrize("name", ["Dockerfile.server", "Dockerfile.device"])
def test_dockerfiles_hold_instructions_and_do_not_end_as_root(made, name):
    lines = (made.path / name).read_text().replace("\\\n", " ").splitlines()
    instructions = [line.split(" ")[0] for line in lines if line and not line.startswith("#")]
    assert set(instructions) <= {"FROM", "RUN", "COPY", "USER", "ENV", "WORKDIR"}
    assert instructions[0] == "FROM"
    assert [line for line in lines if line.startswith("USER")][-1] not in ("USER root", "USER 0")


def test_nothing_is_written_over(made):
    before = {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="exists and is not empty"):
        make_deployment(made.path, ["other.example.org"])
    assert {path: path.read_bytes() for path in made.path.rglob("*") if path.is_file()} == before


def test_a_mistake_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError, match="expected a DNS name"):
        make_deployment(tmp_path / "new", ["https://fleet.example.org"])
    with pytest.raises(ConfigError, match="both 443"):
        make_deployment(tmp_path / "new", ["fleet.example.org"], 443, 443)
    assert not (tmp_path / "new").exists()


def test_renewing_keeps_the_authority_and_the_names(tmp_path):
    made = make_deployment(tmp_path / "d", ["fleet.example.org"], 18443)
    authority, key, certificate = (
        path.read_bytes() for path in (made.authority, made.server_key, made.server_certificate)
    )
    renew_certificate(made)
    assert made.authority.read_bytes() == authority
    assert made.server_key.read_bytes() != key
    assert made.server_certificate.with_name("server.pem.old").read_bytes() == certificate
    assert stat.S_IMODE(made.server_key.stat().st_mode) == 0o600
    open_authority(made.authority_key, made.authority)


def test_a_folder_that_holds_no_deployment_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="no deployment here; make one with: everbloom deploy init"):
        _ = DeploymentFolder(tmp_path).settings
    (tmp_path / "deployment.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="of format 99"):
        _ = DeploymentFolder(tmp_path).settings
    (tmp_path / "deployment.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        _ = DeploymentFolder(tmp_path).settings
