"""The course of `everbloom audit`: open the experiment or the run, attack it, report."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from safetensors import SafetensorError
from safetensors.numpy import load_file

from everbloom.errors import CheckpointError, ConfigError, InputError
from everbloom.experiment import load_experiment
from everbloom.study import Study
from server.run_directory import RunDirectory
from simulation.audit.audit import Audit, Effort, audit_study
from simulation.audit.report import draw_audit, print_audit, write_json
from simulation.commands import study_with_progress


def run_audit(
    target: Path,
    overrides: Sequence[str],
    effort: Effort,
    seed: int | None,
    json_file: Path | None,
    picture: Path | None,
    console: Console,
) -> Audit:
    """Everything that `everbloom audit` does but its exit code. Raises `InputError`."""
    for path in (json_file, picture):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}")
    if target.is_dir() and overrides:
        raise ConfigError(f"-s {overrides[0]}: overrides an experiment file, and {target} is a run as it was")
    run = RunDirectory.open(target) if target.is_dir() else None
    study = study_with_progress(load_experiment(target, overrides) if run is None else run.experiment, console)
    if study.copies is not None:
        raise ConfigError(
            "learning.algorithm: devices choose among several models, and no attack here is made for that; leave it out to audit the mechanism"
        )
    parameters = study.layout.flat(study.new_model()) if run is None else checkpoint_parameters(run, study)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many small tensors: more threads only wait for each other
    try:
        with console.status("audit") as status:
            used = study.experiment.seed if seed is None else seed
            audit = audit_study(study, parameters, effort, used, lambda what: status.update(what))
    finally:
        torch.set_num_threads(threads)
    print_audit(console, audit)
    if json_file is not None:
        write_json(audit, json_file)
    if picture is not None:
        draw_audit(audit, picture)
    return audit


def checkpoint_parameters(run: RunDirectory, study: Study) -> NDArray[np.float32]:
    """The global parameters [params] of a run's last checkpoint; reads only, since the run may be going on. Raises `CheckpointError`."""
    path = run.checkpoints / "state.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        found = load_file(run.checkpoints / header["arrays"])["parameters"]
        schema = header["schema"]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no checkpoint to audit here yet") from None
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error!r})") from None
    study.layout.check(schema, str(run.path))
    return np.asarray(found, dtype=np.float32)
