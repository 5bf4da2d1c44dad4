"""What a comparison runs: the experiment under each continual method, and with several epsilons if asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment
from everbloom.methods import CONTINUAL_METHODS
from simulation.campaign.choices import method_table, split_choice
from simulation.campaign.grid import Cell, Family, Grid, seeds_of, words
from simulation.frontier.grid import FRONTIER, Point
from simulation.frontier.grid import cell_experiment as with_privacy
from simulation.frontier.grid import make_grid as privacy_grid


@dataclass(frozen=True)
class Learner:
    """A continual method. `options` are what was given with its name: `replay:budget=50`; `privacy`: None is the experiment's own."""

    method: str
    options: tuple[str, ...] = ()
    privacy: Point | None = None

    @property
    def method_label(self) -> str:
        """The method as it was asked for."""
        return ":".join((self.method, *self.options))

    @property
    def label(self) -> str:
        """In words."""
        return self.method_label if self.privacy is None else f"{self.method_label}, {self.privacy.budget}"

    @property
    def name(self) -> str:
        """As a part of a directory's name."""
        return "-".join((self.method, *self.options, *([] if self.privacy is None else [self.privacy.name])))

    @property
    def table(self) -> dict[str, Any]:
        """As a TOML table."""
        privacy = {} if self.privacy is None else {"privacy": self.privacy.table}
        return {"method": self.method, "options": list(self.options), **privacy}


def make_grid(base: Experiment, methods: Iterable[str], seeds: int, epsilons: Iterable[str] = ()) -> Grid[Learner]:
    """The grid that the command's options ask for: every method, with every one of `epsilons` if there are any. Seeds count from the experiment's
    own. Raises `ConfigError`.
    """
    names = CONTINUAL_METHODS.names()
    learners = [
        Learner(*split_choice("--methods", word, "method", names, "replay:budget=50"))
        for word in words("--methods", methods)
    ]
    if not learners:
        raise ConfigError(f"--methods: nothing given; expected some of: {', '.join(names)}")
    if budgets := list(epsilons):
        points = privacy_grid(base, budgets, [], [], 1).points
        learners = [replace(learner, privacy=point) for point in points for learner in learners]
    return Grid(tuple(dict.fromkeys(learners)), seeds_of(base, seeds))


def cell_experiment(base: Experiment, cell: Cell[Learner]) -> Experiment:
    """The experiment with this cell's method, epsilon and seed; everything else in [continual] and [privacy] stays as it was.

    The experiment's own options of a method hold where that method is asked for. Raises `ConfigError` if they do not fit.
    """
    if cell.point.privacy is not None:
        base = with_privacy(base, Cell(cell.point.privacy, cell.seed))
    tables = base.model_dump(mode="json", exclude_none=True)
    continual = tables.get("continual", {})
    method = method_table(cell.point.method, cell.point.options, own=continual.get("method"))
    continual = {**continual, "method": method}
    return parse_experiment({**tables, "seed": cell.seed, "continual": continual}, where=cell.point.label)


def _read(row: Mapping[str, Any]) -> Learner:
    privacy = FRONTIER.read(row["privacy"]) if "privacy" in row else None
    return Learner(row["method"], tuple(row["options"]), privacy)


COMPARISON = Family("comparison of continual methods", "continual.toml", _read, cell_experiment)
