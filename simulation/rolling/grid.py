"""What a rolling evaluation runs: the experiment up to each of several cuts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment
from simulation.campaign.grid import Cell, Family, Grid, seeds_of


@dataclass(frozen=True)
class Cut:
    """Trained on everything before period `origin` of the experiment's timeline, tested on that period."""

    origin: int

    @property
    def label(self) -> str:
        """In words."""
        return f"period {self.origin}"

    @property
    def name(self) -> str:
        """As a part of a directory's name."""
        return f"period-{self.origin}"

    @property
    def table(self) -> Mapping[str, Any]:
        """As a TOML table."""
        return {"origin": self.origin}


def make_grid(base: Experiment, periods: int, cuts: int, seeds: int) -> Grid[Cut]:
    """So many cuts, spread evenly from the first tested period to the last of `periods`; a single one is the last.

    Raises `ConfigError` if there are not so many periods to test.
    """
    if not 1 <= cuts <= periods - 1:
        raise ConfigError(
            f"--cuts {cuts}: expected 1 to {periods - 1}; the timeline has {periods} periods, and the first is never tested"
        )
    origins = np.linspace(1 if cuts > 1 else periods - 1, periods - 1, cuts).round().astype(int)
    return Grid(tuple(Cut(int(origin)) for origin in origins), seeds_of(base, seeds))


def cell_experiment(base: Experiment, cell: Cell[Cut]) -> Experiment:
    """The experiment as if its log ended with the cut's period: one warm start, from scratch and by everybody, and one test; nothing is learnt after
    it. Raises `ConfigError` if they do not fit.
    """
    tables = base.model_dump(mode="json", exclude_none=True)
    warm_rounds = tables.get("continual", {}).get("warm_rounds", base.federation.rounds)
    tables["continual"] = {"method": {"name": "frozen"}, "warm_rounds": warm_rounds, "panel": 0.0}
    tables["protocol"] = {**tables["protocol"], "origin": cell.point.origin}
    return parse_experiment({**tables, "seed": cell.seed}, where=cell.point.label)


ROLLING = Family("rolling evaluation", "rolling.toml", lambda row: Cut(int(row["origin"])), cell_experiment)
