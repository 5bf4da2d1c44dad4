"""How much of the memory that an experiment allows is left for training."""

import resource
import sys
from pathlib import Path

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError

_MARGIN = 0.9
"""What is counted as training's is an estimate; the allocator keeps some on top of it."""


def resident_bytes() -> int:
    """The most that this process has held so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says of a spawned process includes its parent's peak
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peaks[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def training_memory(runtime: RuntimeConfig, others: int, workers: int) -> int | None:
    """Bytes that training may hold in this process; None without a limit.

    `others`: what the process that coordinates `workers` others holds, 0 if this one does both. Raises `ConfigError` if nothing is left.
    """
    if runtime.memory_mb is None:
        return None
    limit = runtime.memory_mb * 10**6
    left = int(_MARGIN * ((limit - others) / workers - resident_bytes()))
    if left <= 0:
        least = (others + workers * resident_bytes()) / 1e6
        raise ConfigError(
            f"runtime.memory_mb: {runtime.memory_mb} MB are not enough, the data and the model alone take {least:,.0f} MB in {workers} worker(s); "
            "raise the limit or lower runtime.workers"
        )
    return left
