"""A connection to Ray: one started on this machine for a run, or an existing cluster by its address."""

import importlib
import logging
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError, InputError

_PORT_SECONDS = 5.0
_JOIN_SECONDS = 15.0
"""Two seconds are enough, most of it for importing the package; more on a busy machine."""
_FREE_SECONDS = 30.0
"""A cluster notices some time after a program has ended that its processors are free."""

_TRY = """
import os, sys
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
    ray.shutdown()
except Exception as error:
    print(" ".join(str(error).split()) or type(error).__name__, flush=True)
    os._exit(1)
os._exit(0)
"""


def check_ray(runtime: RuntimeConfig) -> None:
    """Raises `ConfigError` if Ray is not installed, or if nothing can be reached at `runtime.address`; within some 20 seconds."""
    import_ray()
    if runtime.address is not None:
        _reach(runtime.address)


def import_ray() -> Any:
    """The package. Raises `ConfigError` if it is not installed."""
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise ConfigError(
            "runtime ray needs the package ray, which is not installed; install it with: pip install 'everbloom[ray]'"
        ) from None


@contextmanager
def connected(runtime: RuntimeConfig) -> Iterator[Any]:
    """Ray itself, connected for the block. What was started for it is stopped after it; an existing cluster is only left. Raises `ConfigError`."""
    check_ray(runtime)
    ray = import_ray()
    if runtime.address is not None:
        where: dict[str, Any] = {"address": runtime.address}
    else:
        processors = None if runtime.workers == "cores" else runtime.workers
        where = {"address": "local", "num_cpus": processors, "include_dashboard": False}
    with _quiet(), _own_signals():
        try:
            ray.init(**where, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"runtime ray: Ray does not start: {' '.join(str(error).split())}") from None
    try:
        yield ray
    finally:
        with _quiet():
            ray.shutdown()


def crew_size(ray: Any, runtime: RuntimeConfig) -> int:
    """How many workers, each with a processor of its own. Raises `ConfigError` if the cluster has fewer, `InputError` if others keep them busy."""
    there = int(ray.cluster_resources().get("CPU", 0))
    wanted = max(1, there) if runtime.workers == "cores" else runtime.workers
    if wanted > there:
        raise ConfigError(f"runtime.workers: {wanted} workers need a CPU each, and the Ray cluster has {there}")
    deadline = time.monotonic() + _FREE_SECONDS
    while (free := int(ray.available_resources().get("CPU", 0))) < wanted:
        if time.monotonic() > deadline:
            raise InputError(
                f"runtime.workers: {wanted} workers need a CPU each, and {free} of the Ray cluster's {there} are free; "
                "lower runtime.workers, or wait until others have finished"
            )
        time.sleep(0.2)
    return wanted


def gpu_share(runtime: RuntimeConfig, workers: int, gpus: int) -> float:
    """What each worker asks of a GPU: a whole one, or an equal share where there are more workers than GPUs."""
    if runtime.device == "cpu" or not gpus:
        return 0.0
    return 1.0 / -(-workers // gpus)


@lru_cache(maxsize=8)
def _reach(address: str) -> None:
    """Raises `ConfigError` unless a cluster can be joined at `address`.

    Ray itself waits for more than a minute, cannot be interrupted while it does, and writes to the terminal. So the port is tried first, and then a
    process that can be killed joins and leaves the cluster.
    """
    told = f"runtime.address {address!r}"
    if address != "auto":
        host, port = _host_and_port(address)
        try:
            socket.create_connection((host, port), timeout=_PORT_SECONDS).close()
        except OSError as error:
            raise ConfigError(
                f"{told}: nothing answers there ({error.strerror or error}); is the cluster up, and the port that of `ray start --head`?"
            ) from None
    with subprocess.Popen(
        [sys.executable, "-c", _TRY, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            out, _ = process.communicate(timeout=_JOIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise ConfigError(
                f"{told}: no Ray cluster of this version answers there within {_JOIN_SECONDS:.0f} seconds"
            ) from None
    if process.returncode:
        reason = out.strip() or f"it ended with status {process.returncode}"
        raise ConfigError(f"{told}: Ray cannot join a cluster there: {reason}")


def _host_and_port(address: str) -> tuple[str, int]:
    found = re.fullmatch(r"\[?([^\[\]/]+)\]?:(\d{1,5})", address)
    if found is None:
        raise ConfigError(
            f'runtime.address {address!r}: expected "auto" or "HOST:PORT", that of `ray start --head`; '
            "everbloom itself runs on a machine of the cluster, so ray:// is not used"
        )
    return found[1], int(found[2])


@contextmanager
def _quiet() -> Iterator[None]:
    """What Ray says while it starts and stops is about itself: files that it leaves open, and a setting for GPUs that comes to nothing here."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.filterwarnings("ignore", message="Tip: In future versions of Ray", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray ends a program at SIGTERM in its own way; here that stays as it was. Its processes end with the program in any case."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)
