"""The fastest runtime for many runs on this machine. It may differ from the experiment's, since it never changes a result."""

import torch

from everbloom.config import RuntimeConfig

_SECONDS_PER_EVENT = 1e-4
"""Order of what training on one event of a client takes on one core, in one local step."""
_WORTH_WORKERS = 120.0
"""Seconds of training above which a run gets back what starting workers costs: some ten seconds, half a minute on a busy machine."""


def fastest_runtime(runtime: RuntimeConfig, events: float) -> RuntimeConfig:
    """For a run whose clients train on so many events, counted anew in each round and local step.

    A GPU if there is one; on the CPU all cores where the work is worth starting them. What somebody had a reason to choose stays: a Ray cluster, a
    number of workers, a limit of memory (each worker would need its share).
    """
    changes: dict[str, object] = {"clients": "together"}
    if runtime.name == "flower":  # a process per device: the same result, far more slowly
        changes["name"] = "in-process"
    if runtime.device == "cpu":
        changes["device"] = "auto"
    chosen = runtime.name == "ray" or runtime.workers not in (1, "cores") or runtime.memory_mb is not None
    if not chosen:
        heavy = events * _SECONDS_PER_EVENT > _WORTH_WORKERS
        changes["workers"] = "cores" if heavy and not torch.cuda.is_available() else 1
    return runtime.model_copy(update=changes)
