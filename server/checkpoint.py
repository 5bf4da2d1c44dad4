"""Checkpoints: arrays as safetensors, the rest as JSON; written so that a kill at any moment leaves the last one whole."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from everbloom.errors import CheckpointError
from server.personal import SavedBeside
from server.run_directory import RunDirectory
from server.state import Best, FederationState, Totals

_FORMAT = 3


def save_checkpoint(
    run: RunDirectory, state: FederationState, schema: str, personal: SavedBeside | None = None
) -> None:
    """Writes the arrays under a new name, then replaces `state.json`, which names them; older arrays are removed last. `personal`: what a simulation
    keeps of its devices.
    """
    folder = run.checkpoints
    folder.mkdir(exist_ok=True)
    name = f"{state.period:04d}-{state.round:06d}.safetensors"
    arrays = {"parameters": state.parameters, "participations": state.participations}
    arrays |= {"before": state.before, "last_asked": state.last_asked}
    arrays |= {f"optimizer.{key}": value for key, value in state.optimizer.items()}
    arrays |= {f"mechanism.{key}": value for key, value in state.mechanism.items()}
    arrays |= {f"aggregation.{key}": value for key, value in state.aggregation.items()}
    arrays |= {f"memory.{key}": value for key, value in state.memory.items()}
    arrays |= {f"algorithm.{key}": value for key, value in state.algorithm.items()}
    if state.best is not None:
        arrays["best"] = state.best.parameters
    temporary = folder / f".{name}.tmp"
    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, temporary)
    _flush(temporary)
    temporary.replace(folder / name)
    if personal is not None:
        personal.save(state.period, state.round)
    for record in ("rounds", "metrics"):
        _flush(run.path / f"{record}.jsonl")  # the header counts on them
    header = {
        "format": _FORMAT,
        "schema": schema,
        "arrays": name,
        "period": state.period,
        "round": state.round,
        "stale": state.stale,
        "stopped": state.stopped,
        "best": None if state.best is None else {"value": state.best.value, "round": state.best.round},
        "test": state.test,
        "clock": state.clock,
        "totals": asdict(state.totals),
        "lengths": run.lengths(),
    }
    header_temporary = folder / ".state.json.tmp"
    header_temporary.write_text(json.dumps(header, indent=2) + "\n")
    _flush(header_temporary)
    header_temporary.replace(folder / "state.json")
    for old in folder.glob("*.safetensors"):
        if old.name != name:
            old.unlink()
    if personal is not None:
        personal.remove_but(state.period, state.round)


def load_checkpoint(run: RunDirectory, schema: str, clients: int) -> FederationState | None:
    """The last state, with the records cut back to it; None if the run was stopped before its first checkpoint.

    Raises `CheckpointError` as `read_checkpoint` does.
    """
    found = _read(run, schema, clients)
    if found is None:
        run.truncate({"rounds": 0, "metrics": 0})
        return None
    state, lengths = found
    run.truncate(lengths)
    return state


def read_checkpoint(run: RunDirectory, schema: str, clients: int) -> FederationState | None:
    """The last state, and nothing is changed; None if there is no checkpoint yet.

    Raises `CheckpointError` if it is damaged or belongs to another parameter schema or population.
    """
    found = _read(run, schema, clients)
    return None if found is None else found[0]


def _read(run: RunDirectory, schema: str, clients: int) -> tuple[FederationState, dict[str, int]] | None:
    """(state, how long the records were)."""
    path = run.checkpoints / "state.json"
    if not path.is_file():
        return None
    try:
        header = json.loads(path.read_text())
        if header["format"] != _FORMAT:
            raise CheckpointError(f"{path}: written by another version (format {header['format']}); start a new run")
        if header["schema"] != schema:
            raise CheckpointError(
                f"{path}: parameter schema {header['schema']} is not this experiment's {schema}; [model] or the data changed since: start a new run"
            )
        state = _restore(header, load_file(run.checkpoints / header["arrays"]))
        lengths: dict[str, int] = header["lengths"]
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error!r}); start a new run") from None
    if len(state.participations) != clients:
        raise CheckpointError(
            f"{path}: holds {len(state.participations)} clients, the data set has {clients}; start a new run"
        )
    return state, lengths


def _restore(header: dict[str, Any], arrays: dict[str, Any]) -> FederationState:
    best = header["best"]
    return FederationState(
        parameters=arrays["parameters"],
        optimizer=_of("optimizer.", arrays),
        participations=arrays["participations"],
        before=arrays["before"],
        last_asked=arrays["last_asked"],
        mechanism=_of("mechanism.", arrays),
        aggregation=_of("aggregation.", arrays),
        memory=_of("memory.", arrays),
        algorithm=_of("algorithm.", arrays),
        period=header["period"],
        round=header["round"],
        best=None if best is None else Best(best["value"], best["round"], arrays["best"]),
        stale=header["stale"],
        stopped=header["stopped"],
        test=header["test"],
        clock=header["clock"],
        totals=Totals(**header["totals"]),
    )


def _of(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
