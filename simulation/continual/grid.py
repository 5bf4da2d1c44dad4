"""What a comparison runs: the experiment under each continual method."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment
from everbloom.methods import CONTINUAL_METHODS
from simulation.campaign.choices import method_table, split_choice
from simulation.campaign.grid import Cell, Family, Grid, seeds_of, words


@dataclass(frozen=True)
class Learner:
    """A continual method. `options` are what was given with its name: `replay:budget=50`."""

    method: str
    options: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """As it was asked for."""
        return ":".join((self.method, *self.options))

    @property
    def name(self) -> str:
        """As a part of a directory's name."""
        return "-".join((self.method, *self.options))

    @property
    def table(self) -> dict[str, Any]:
        """As a TOML table."""
        return {"method": self.method, "options": list(self.options)}


def make_grid(base: Experiment, methods: Iterable[str], seeds: int) -> Grid[Learner]:
    """The grid that the command's options ask for. Seeds count from the experiment's own. Raises `ConfigError`."""
    names = CONTINUAL_METHODS.names()
    learners = [
        Learner(*split_choice("--methods", word, "method", names, "replay:budget=50"))
        for word in words("--methods", methods)
    ]
    if not learners:
        raise ConfigError(f"--methods: nothing given; expected some of: {', '.join(names)}")
    return Grid(tuple(dict.fromkeys(learners)), seeds_of(base, seeds))


def cell_experiment(base: Experiment, cell: Cell[Learner]) -> Experiment:
    """The experiment with this cell's method and seed; everything else in [continual] stays as it was.

    The experiment's own options of a method hold where that method is asked for. Raises `ConfigError` if they do not fit.
    """
    tables = base.model_dump(mode="json", exclude_none=True)
    continual = tables.get("continual", {})
    method = method_table(cell.point.method, cell.point.options, own=continual.get("method"))
    continual = {**continual, "method": method}
    return parse_experiment({**tables, "seed": cell.seed, "continual": continual}, where=cell.point.label)


def _read(row: Mapping[str, Any]) -> Learner:
    return Learner(row["method"], tuple(row["options"]))


COMPARISON = Family("comparison of continual methods", "continual.toml", _read, cell_experiment)
