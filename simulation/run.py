"""Runs an experiment in process: study, grid, federation, summary."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError
from everbloom.experiment import Experiment
from everbloom.learning.cohort.budget import make_budget
from everbloom.memory import peak_bytes
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.study import Study
from server.checkpoint import load_checkpoint
from server.federation import Federation, initial_state
from server.measuring import unknown_choice
from server.observer import Observer
from server.run_directory import RunDirectory
from server.state import FederationState
from server.summary import write_summary
from server.tracking import tracked
from simulation.cohort import torch_device
from simulation.evaluating import also_evaluating
from simulation.grid import Answer, Between
from simulation.memory import PeakMemory, training_memory
from simulation.personal import open_personal
from simulation.population.grid import simulated_grid
from simulation.ray_cluster import check_ray
from simulation.ray_workers import ray_answers
from simulation.residuals import open_residuals
from simulation.workers import masked_answers, open_ledger, parallel_answers, serial_answers


def run_in_process(
    study: Study, run: RunDirectory, observer: Observer, resume: bool, between: Between | None = None
) -> dict[str, Any]:
    """Runs (or continues) an experiment and returns its summary. `between`: what the devices' answers pass through, the same when continued.

    Raises `CheckpointError` if there is nothing that fits to resume.
    """
    study.check_central("a simulation")
    saved = load_checkpoint(run, study.layout.schema, study.clients) if resume else None
    state = saved or initial_state(study)
    personal = open_personal(run.path / "devices", study, saved)
    residuals = open_residuals(run.path / "devices", study, saved)
    peak = PeakMemory()
    with tracked(study.experiment, run, observer) as (told, finish):
        with _answers(study, run, state, peak) as devices:
            trained = devices if between is None else between(study, _ledger(run), devices)
            with also_evaluating(study, _ledger(run), trained) as answer:
                grid = simulated_grid(study, answer)
                known = grid.client_nodes()
                federation = Federation(study, run, grid, known, told, state, personal=personal, residuals=residuals)
                state = federation.run()
        summary = write_summary(run, study, state, peak.megabytes())
        finish(summary)
    return summary


@contextmanager
def _answers(study: Study, run: RunDirectory, state: FederationState, peak: PeakMemory) -> Iterator[Answer]:
    ledger = open_ledger(_ledger(run), state.participations)
    workers = worker_count(study.experiment.runtime)
    if study.experiment.runtime.masks:
        with masked_answers(study, ledger) as answer:
            yield answer
    elif study.experiment.runtime.name == "ray":
        with ray_answers(study, ledger, peak) as answer:
            yield answer
    elif workers == 1:
        with serial_answers(study, ledger, peak) as answer:
            yield answer
    else:
        with parallel_answers(study, run.path / "experiment.toml", ledger, workers, peak) as answer:
            yield answer


def _ledger(run: RunDirectory) -> Path:
    return run.path / "devices" / "participations.npy"


def check_runtime(runtime: RuntimeConfig) -> None:
    """Raises `ConfigError`, before any work, if what is to train the clients is not there."""
    torch_device(runtime)
    if runtime.masks and runtime.name == "ray":
        raise ConfigError(
            "runtime.masks: devices on Ray workers answer with sums and exchange no masks; use in-process or flower"
        )
    if runtime.name == "ray":
        check_ray(runtime)


def what_devices_keep(experiment: Experiment) -> str | None:
    """The key of the experiment file for which devices keep something from round to round, if there is one."""
    model, algorithm, compression = experiment.model, experiment.learning.algorithm, experiment.federation.compression
    if algorithm is not None and algorithm.kept(1):
        return f'learning.algorithm = "{algorithm.name}"'
    if model.personal_layers:
        return "model.personal_layers"
    if model.user.personal:
        return "model.user.personal"
    return "federation.compression.feedback" if compression is not None and compression.feedback else None


def check_personal(experiment: Experiment) -> None:
    """Raises `ConfigError`, before any work, if devices are to keep something where there is no place for it."""
    keeps, algorithm = what_devices_keep(experiment), experiment.learning.algorithm
    if algorithm is not None and algorithm.copies > 1 and experiment.runtime.name == "flower":
        raise ConfigError(unknown_choice(algorithm.name))
    if keeps and experiment.runtime.name == "ray":
        raise ConfigError(
            f"{keeps}: Ray workers share no file, so nothing could be kept from round to round; remove it, or use runtime.name in-process or flower"
        )


def check_masks(study: Study) -> None:
    """Raises `ConfigError`, before any work, if masks are asked for where there is nothing to mask."""
    if not study.experiment.runtime.masks:
        return
    if not isinstance(study.plan, DistributedPlan):
        raise ConfigError(
            'runtime.masks: only privacy.mechanism = "distributed" sends integers that masks can hide; set it, or remove runtime.masks'
        )
    if study.experiment.population is not None:
        raise ConfigError(
            "runtime.masks: a [population] with simulated time answers tasks alone; remove one of the two"
        )


def check_memory(study: Study) -> None:
    """Raises `ConfigError` or `InputError` if [runtime] allows less memory than training one client takes."""
    experiment, workers = study.experiment, worker_count(study.experiment.runtime)
    memory = training_memory(experiment.runtime, peak_bytes() if workers > 1 else 0, workers)
    budget = make_budget(
        experiment.model, experiment.learning, study.model_layout.size(), len(study.dataset.catalog), memory
    )
    if experiment.learning.own is not None:
        budget.whole.check(experiment.model.user.history, own_parameters=True)
    separate = experiment.federation.aggregation.separate
    own = experiment.learning.local_steps > 1 or experiment.learning.steered
    own = own or separate or experiment.federation.compression is not None or experiment.runtime.clients == "unfolded"
    budget.check(experiment.model.user.history, own_parameters=own)
    if separate:
        _check_kept(study)


def _check_kept(study: Study) -> None:
    """Raises `ConfigError` if the updates that an aggregation rule keeps of a cohort take more than half of [runtime]'s memory."""
    limit, federation = study.experiment.runtime.memory_mb, study.experiment.federation
    kept = federation.asked_size(study.trainers) * study.layout.size() * 4 / 1e6
    if limit is not None and kept > limit / 2:
        raise ConfigError(
            f"federation.aggregation = {federation.aggregation.name!r}: a round's updates take {kept:.0f} MB, runtime.memory_mb is {limit:g}; "
            "ask fewer devices (federation.cohort), raise it, or use the mean"
        )


def worker_count(runtime: RuntimeConfig) -> int:
    """Processes that train clients."""
    return (os.cpu_count() or 1) if runtime.workers == "cores" else runtime.workers


def free_directory(parent: Path, name: str) -> Path:
    """`parent/name`, or with the first number behind it that is free."""
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path
