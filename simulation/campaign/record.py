"""Which grid of which experiment on which data a directory holds; a later call may add to it and change nothing."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import tomli_w

from everbloom.errors import InputError
from everbloom.experiment import Experiment, parse_experiment
from server.run_directory import RunDirectory
from simulation.campaign.grid import Cell, Family, Grid, P


@dataclass(frozen=True)
class Record(Generic[P]):
    """`data` is the prepared data set's fingerprint: runs on data that changed since must not stand in one table."""

    family: Family[P]
    grid: Grid[P]
    experiment: Experiment
    data: str

    def write(self, folder: Path) -> None:
        """Creates or replaces the file."""
        tables = {
            "data": self.data,
            "seeds": list(self.grid.seeds),
            "points": [dict(point.table) for point in self.grid.points],
            "experiment": self.experiment.model_dump(mode="json", exclude_none=True),
        }
        RunDirectory(folder).write(self.family.file, tomli_w.dumps(tables))

    def check_extends(self, before: "Record[P]", folder: Path) -> None:
        """Raises `InputError` if a run of `before` would be another one now, or is left out."""
        noun = self.family.noun
        left_out = [f"seed {seed}" for seed in before.grid.seeds if seed not in self.grid.seeds]
        left_out += [point.label for point in before.grid.points if point not in self.grid.points]
        if left_out:
            raise InputError(
                f"{folder}: holds a {noun} with {'; '.join(left_out)}, which this grid leaves out; ask for it too, or give another --out"
            )
        if before.data != self.data:
            raise InputError(f"{folder}: the data changed since this {noun} was begun; give another --out")
        for point in before.grid.points:
            cell = Cell(point, before.grid.seeds[0])
            there, here = (self.family.variant(experiment, cell) for experiment in (before.experiment, self.experiment))
            found = difference(there, here)
            if found is not None:
                raise InputError(f"{folder}: holds a {noun} of another experiment ({found}); give another --out")


def read_record(family: Family[P], folder: Path) -> Record[P] | None:
    """What the directory holds; None if it is not there or empty. Raises `InputError` if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    path = folder / family.file
    if not path.is_file():
        raise InputError(f"{folder}: exists and holds no {family.noun} ({family.file} is missing); give another --out")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        points = tuple(family.read(row) for row in tables["points"])
        grid = Grid(points, tuple(tables["seeds"]))
        experiment, data = tables["experiment"], str(tables["data"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error!r}); give another --out") from None
    return Record(family, grid, parse_experiment(experiment, where=f"{path}: experiment"), data)


def difference(there: Experiment, here: Experiment) -> str | None:
    """The first key that differs, with both values; None if both give the same result. [runtime] and [tracking] do not matter."""
    one, other = (
        _flat(experiment.model_dump(mode="json", exclude={"runtime", "tracking"})) for experiment in (there, here)
    )
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            return f"{key}: {one.get(key)!r} there, {other.get(key)!r} here"
    return None


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return flat
