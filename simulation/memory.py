"""How much of the memory that an experiment allows is left for training."""

import os
import socket

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError
from everbloom.memory import peak_bytes

_MARGIN = 0.9
"""What is counted as training's is an estimate; the allocator keeps some on top of it."""


def process_name() -> str:
    """This process among all of a cluster's."""
    return f"{socket.gethostname()}:{os.getpid()}"


class PeakMemory:
    """The most that this process and each of a run's workers have held."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def note(self, worker: str, held: int) -> None:
        """What a worker says of itself."""
        self._held[worker] = max(held, self._held.get(worker, 0))

    def megabytes(self) -> float:
        """All peaks together, in MB (10^6 bytes): more than was ever held at once, never less."""
        return sum((self._held | {process_name(): peak_bytes()}).values()) / 1e6


def training_memory(runtime: RuntimeConfig, others: int, workers: int) -> int | None:
    """Bytes that training may hold in this process; None without a limit.

    `others`: what the process that coordinates `workers` others holds, 0 if this one does both. Raises `ConfigError` if nothing is left.
    """
    if runtime.memory_mb is None:
        return None
    limit = runtime.memory_mb * 10**6
    left = int(_MARGIN * ((limit - others) / workers - peak_bytes()))
    if left <= 0:
        least = (others + workers * peak_bytes()) / 1e6
        raise ConfigError(
            f"runtime.memory_mb: {runtime.memory_mb} MB are not enough, the data and the model alone take {least:,.0f} MB in {workers} worker(s); "
            "raise the limit or lower runtime.workers"
        )
    return left
