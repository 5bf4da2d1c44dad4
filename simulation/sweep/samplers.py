"""How a sweep chooses the next trial's values.

A sampler is made anew for each trial from a seed of that trial's own, and sees finished trials alone: a sweep that was interrupted goes on as if it
had not been.
"""

from abc import abstractmethod

from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from pydantic import PositiveInt

from everbloom.registry import Method, Registry


class Sampler(Method):
    """A family of methods."""

    @abstractmethod
    def open(self, seed: int) -> BaseSampler:
        """For one trial; `seed` below 2^32."""


class Tpe(Sampler):
    """Tree-structured Parzen estimator over all keys together (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Falkner
    et al., "BOHB", ICML 2018): values where good trials are dense and bad ones are not."""

    startup: PositiveInt = 10
    """Trials that are drawn at random before it has something to go by."""

    def open(self, seed: int) -> BaseSampler:
        """Trials that run at the same time count as bad, so that they differ."""
        return TPESampler(n_startup_trials=self.startup, constant_liar=True, seed=seed)


class Random(Sampler):
    """Independent uniform draws (Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13, 2012)."""

    def open(self, seed: int) -> BaseSampler:
        """Looks at nothing."""
        return RandomSampler(seed=seed)


SAMPLERS: Registry[Sampler] = Registry(
    "sampler",
    Sampler,  # type: ignore[type-abstract]
    {"tpe": "simulation.sweep.samplers:Tpe", "random": "simulation.sweep.samplers:Random"},
)
