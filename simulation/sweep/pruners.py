"""When a sweep gives a trial up before its end, by what its first seed reached on validation so far."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from pydantic import Field, NonNegativeInt, PositiveInt

from everbloom.registry import Method, Registry


class Pruner(Method):
    """A family of methods."""

    judges: ClassVar[bool] = True
    """Whether it ever gives a trial up."""

    @abstractmethod
    def open(self, rounds: int, every: int) -> BasePruner:
        """For runs of so many rounds, measured on validation after every `every` of them."""


class Median(Pruner):
    """Gives up a trial that stays below the median of what finished ones had by the same round (Golovin et al., "Google Vizier", KDD 2017)."""

    startup: PositiveInt = 5
    """Trials that must be finished before any is given up."""
    warmup: NonNegativeInt = 0
    """Rounds that every trial gets."""

    def open(self, rounds: int, every: int) -> BasePruner:
        """Judges at every measurement."""
        return MedianPruner(n_startup_trials=self.startup, n_warmup_steps=self.warmup)


class Hyperband(Pruner):
    """Successive halving with several first deadlines (Li et al., "Hyperband", JMLR 18, 2018): at each, the best 1 / `factor` go on."""

    factor: Annotated[int, Field(ge=2)] = 3

    def open(self, rounds: int, every: int) -> BasePruner:
        """The first deadline is the first measurement, the last the end."""
        return HyperbandPruner(min_resource=every, max_resource=max(rounds, every), reduction_factor=self.factor)


class NoPruner(Pruner):
    """Every trial runs to its end."""

    judges = False

    def open(self, rounds: int, every: int) -> BasePruner:
        """Never gives up."""
        return NopPruner()


PRUNERS: Registry[Pruner] = Registry(
    "pruner",
    Pruner,  # type: ignore[type-abstract]
    {
        "median": "simulation.sweep.pruners:Median",
        "hyperband": "simulation.sweep.pruners:Hyperband",
        "none": "simulation.sweep.pruners:NoPruner",
    },
)
