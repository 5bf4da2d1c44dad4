"""A run that goes on from the model of an earlier one, over a catalogue that may have grown: `model.json` says what a run's parameters are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from everbloom.errors import CheckpointError, SchemaError
from everbloom.models.growth import grown
from everbloom.models.layout import ParameterLayout
from everbloom.study import Study
from everbloom.wire import federation_name
from server.run_directory import RunDirectory

_NAME = "model.json"


@dataclass(frozen=True, eq=False)
class EarlierRun:
    """`federation`: the name that devices keep their personal parameters under."""

    path: Path
    federation: str
    layout: ParameterLayout
    parameters: NDArray[np.float32]

    @classmethod
    def open(cls, path: Path) -> "EarlierRun":
        """Raises `CheckpointError` if it has no checkpoint, or was written before runs could be gone on from."""
        told, header = _read(path / _NAME), _read(path / "checkpoint" / "state.json")
        try:
            layout = ParameterLayout.described(told["parameters"])
            if header["schema"] != layout.schema:
                raise CheckpointError(f"{path / _NAME}: of another model than the run's checkpoint; start a new run")
            parameters = load_file(path / "checkpoint" / header["arrays"])["parameters"]
            return cls(path, str(told["federation"]), layout, parameters)
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise CheckpointError(f"{path}: damaged ({error!r}); start a new run") from None

    def parameters_for(self, study: Study) -> NDArray[np.float32]:
        """[params] to begin with. Raises `SchemaError` if the models differ in more than the number of items."""
        try:
            return grown(self.layout, self.parameters, study.layout, study.initial_parameters())
        except SchemaError as error:
            raise SchemaError(f"{self.path}: {error}") from None


def describe(run: RunDirectory, study: Study, earlier: EarlierRun | None) -> None:
    """Writes what a later run has to know of this one, and which one it began from."""
    told = {
        "federation": federation_name(study.layout.schema, study.terms),
        "began_from": None if earlier is None else str(earlier.path.absolute()),
        "parameters": study.layout.description(),
    }
    run.write(_NAME, json.dumps(told) + "\n")


def earlier_of(run: RunDirectory) -> EarlierRun | None:
    """The run that this one began from, which must still be there; None if it began anew."""
    path = run.path / _NAME
    began = _read(path).get("began_from") if path.is_file() else None
    return None if began is None else EarlierRun.open(Path(began))


def _read(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent}: no run to go on from here ({path.name} is missing); a run of `everbloom deploy run` has it"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error!r}); start a new run") from None
    return told
