"""What a comparison runs: the experiment under each continual method."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment
from everbloom.methods import CONTINUAL_METHODS
from simulation.campaign.grid import Cell, Family, Grid, seeds_of, words

_OPTION = re.compile(r"[A-Za-z0-9_]+=[A-Za-z0-9_.+-]+")


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
    learners = [_learner(word) for word in words("--methods", methods)]
    if not learners:
        raise ConfigError(f"--methods: nothing given; expected some of: {', '.join(CONTINUAL_METHODS.names())}")
    return Grid(tuple(dict.fromkeys(learners)), seeds_of(base, seeds))


def cell_experiment(base: Experiment, cell: Cell[Learner]) -> Experiment:
    """The experiment with this cell's method and seed; everything else in [continual] stays as it was.

    The experiment's own options of a method hold where that method is asked for. Raises `ConfigError` if they do not fit.
    """
    tables = base.model_dump(mode="json", exclude_none=True)
    continual = tables.get("continual", {})
    own = continual.get("method", {})
    method = dict(own) if own.get("name") == cell.point.method else {"name": cell.point.method}
    for option in cell.point.options:
        key, _, text = option.partition("=")
        method[key] = _value(text)
    continual = {**continual, "method": method}
    return parse_experiment({**tables, "seed": cell.seed, "continual": continual}, where=cell.point.label)


def _learner(word: str) -> Learner:
    method, *options = word.split(":")
    if method not in CONTINUAL_METHODS.names():
        raise ConfigError(
            f"--methods {word}: unknown method {method!r}; expected some of: {', '.join(CONTINUAL_METHODS.names())}"
        )
    for option in options:
        if not _OPTION.fullmatch(option):
            raise ConfigError(f"--methods {word}: {option!r} is no option; expected key=value, as in replay:budget=50")
    return Learner(method, tuple(options))


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read(row: Mapping[str, Any]) -> Learner:
    return Learner(row["method"], tuple(row["options"]))


COMPARISON = Family("comparison of continual methods", "continual.toml", _read, cell_experiment)
