"""`everbloom doctor`: looks at a machine, a deployment, a device or a server, and says what is wrong in one line each."""

from pathlib import Path

from everbloom.errors import ConfigError
from simulation.doctor.finding import Finding
from simulation.doctor.machine import examine_machine
from simulation.doctor.reach import examine_server


def examine(folder: Path | None, server: str | None, certificates: Path | None) -> list[Finding]:
    """Everything that can be looked at with what is given. Raises `ConfigError` if `folder` is neither a deployment nor a device."""
    findings = examine_machine(folder or Path.cwd())
    if folder is not None:
        findings += _folder(folder)
    if server is not None:
        findings += examine_server(server, certificates)
    return findings


def _folder(folder: Path) -> list[Finding]:
    if (folder / "deployment.json").is_file():
        from simulation.doctor.deployment import examine_deployment

        return examine_deployment(folder)
    if (folder / "device.json").is_file():
        from simulation.doctor.device import examine_device

        return examine_device(folder)
    raise ConfigError(f"{folder}: neither a deployment (deployment.json) nor a device (device.json)")
