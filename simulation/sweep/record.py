"""Which sweep a directory holds: a later call may ask for more trials and change nothing else."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from everbloom.errors import InputError
from everbloom.experiment import parse_experiment
from server.run_directory import RunDirectory
from simulation.campaign.record import difference
from simulation.sweep.file import Sweep

FILE = "sweep.toml"


@dataclass(frozen=True)
class Record:
    """`data` is the data set's fingerprint."""

    sweep: Sweep
    data: str

    def write(self, folder: Path) -> None:
        """Creates or replaces the file."""
        experiment = self.sweep.base.model_dump(mode="json", exclude_none=True)
        tables = {"data": self.data, "sweep": self._sweep, "experiment": experiment}
        RunDirectory(folder).write(FILE, tomli_w.dumps(tables))

    def check(self, folder: Path) -> None:
        """Raises `InputError` if the directory holds something else."""
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder}: exists and holds no sweep ({FILE} is missing); give another --out")
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            data, there, experiment = tables["data"], dict(tables["sweep"]), dict(tables["experiment"])
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error!r}); give another --out") from None
        if data != self.data:
            raise InputError(f"{folder}: the data changed since this sweep was begun; give another --out")
        here = self._sweep
        for key in dict.fromkeys([*there, *here]):
            if there.get(key) != here.get(key):
                raise InputError(
                    f"{folder}: holds a sweep with another {key} ({there.get(key)!r} there, {here.get(key)!r} here); give another --out"
                )
        found = difference(parse_experiment(experiment, where=f"{path}: experiment"), self.sweep.base)
        if found is not None:
            raise InputError(f"{folder}: holds a sweep of another experiment ({found}); give another --out")

    @property
    def _sweep(self) -> dict[str, Any]:
        """All that decides about a trial."""
        return self.sweep.config.model_dump(mode="json", exclude_none=True, exclude={"experiment", "trials", "fixed"})
