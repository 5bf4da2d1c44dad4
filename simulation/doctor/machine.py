"""The machine itself: versions, clock, disk, memory."""

import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from everbloom.data.home import home as everbloom_home
from everbloom.errors import ConfigError
from simulation.doctor.finding import Finding, looked

_LEAST_BYTES = 1 << 30
_LOOKED_AT = ("flwr", "torch", "opacus", "numpy", "cryptography", "fastapi", "uvicorn", "pydantic")


def examine_machine(folder: Path) -> list[Finding]:
    """Of the machine that this runs on; `folder` is where files will go."""
    return [
        looked(_python),
        looked(_packages),
        looked(_clock),
        looked(lambda: _disk(folder)),
        looked(_home),
    ]


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - somebody may force an installation
        raise ConfigError(f"Python {platform.python_version()}: everbloom needs 3.11 or newer")
    return f"Python {platform.python_version()} on {platform.machine()}, {platform.system()}"


def _packages() -> str:
    """Versions against what this version of everbloom asks for."""
    wrong, found = [], []
    asked = {one.name: one for one in map(Requirement, requires("everbloom") or []) if one.marker is None}
    for name in _LOOKED_AT:
        try:
            there = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        found.append(f"{name} {there}")
        if name in asked and not asked[name].specifier.contains(there.split("+")[0], prereleases=True):
            wrong.append(f"{name} {there} where {asked[name].specifier} is needed")
    if wrong:
        raise ConfigError(f"packages: {'; '.join(wrong)}; install with: pip install -c constraints.txt everbloom")
    return f"packages: {', '.join(found)}"


def _clock() -> str:
    """Nodes sign the time: a clock that is wrong by more than some seconds is refused."""
    written = Path(__file__).stat().st_mtime
    if time.time() < written - 86400:
        raise ConfigError(
            f"clock: {time.ctime()} is before this program was installed; set it, and let NTP keep it right"
        )
    program = shutil.which("timedatectl")
    if program is not None:
        told = subprocess.run(
            [program, "show", "-p", "NTPSynchronized", "--value"], capture_output=True, text=True, check=False
        )
        if told.stdout.strip() == "no":
            raise ConfigError("clock: not kept right by NTP; run: timedatectl set-ntp true")
        if told.stdout.strip() == "yes":
            return "clock: kept right by NTP"
    return "clock: plausible; whether NTP keeps it right cannot be told here, compare it with a server (--server)"


def _disk(folder: Path) -> str:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < _LEAST_BYTES:
        raise ConfigError(f"disk: {free / 1e9:.1f} GB free at {there}; at least {_LEAST_BYTES / 1e9:.0f} GB are needed")
    return f"disk: {free / 1e9:.0f} GB free at {there}"


def _home() -> str:
    home = everbloom_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise ConfigError(
            f"{home}: cannot be written ({error.strerror}); set EVERBLOOM_HOME to a folder that can"
        ) from None
    return f"{home}: can be written"
