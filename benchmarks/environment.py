"""What a measurement depends on besides the code: machine, versions, load."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contestants import HERE, PFL, RAY
from benchmarks.workloads import REPO

_PACKAGES = ("everbloom", "torch", "numpy", "opacus", "flwr", "ray", "pfl")
_ASK = "import importlib.metadata as m, json, sys; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"


def environment() -> dict[str, Any]:
    """For the record."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "commit": _output(["git", "describe", "--always", "--dirty"]),
        "versions": {name: _versions(REPO / name) for name in (HERE, RAY, PFL)},
        "load_average_at_start": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines: Iterable[str] = path.read_text().splitlines() if path.is_file() else ()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions(folder: Path) -> dict[str, str]:
    """Of the packages that matter in an environment; none if it is not there."""
    python = folder / "bin" / "python"
    found = json.loads((_output([str(python), "-c", _ASK]) if python.exists() else None) or "{}")
    return {name: found[name] for name in _PACKAGES if name in found}


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
