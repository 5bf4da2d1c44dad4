"""What a sweep searches: a key of the experiment file, and the values that it may take."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import tomli_w
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BeforeValidator, Field, model_validator

from everbloom.registry import Table

Suggested = str | int | float | bool
"""What Optuna keeps of a value."""

_WORLD = ("name", "seed", "data", "protocol", "population", "feedback", "evaluation", "runtime", "tracking")
_CLAIM = ("privacy.unit", "privacy.epsilon", "privacy.delta", "privacy.noise_multiplier", "privacy.mechanism.name")


class Dimension(Table):
    """One key: numbers from `low` to `high`, or `choices`. Two whole numbers are searched in whole numbers."""

    low: int | float | None = None
    high: int | float | None = None
    """Included."""
    log: bool = False
    """Search the logarithm: for what matters by factors, such as a learning rate."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    choices: Annotated[tuple[Any, ...], Field(min_length=2)] | None = None
    """Any values of the key, tables included. A list alone means the same."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Dimension":
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("choices stand alone; expected either choices, or low and high")
            if len({_label(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError("a choice stands twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("expected { low, high }, a list, or { choices }")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0 (given: {self.low})")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self

    @property
    def distribution(self) -> BaseDistribution:
        """For Optuna, which keeps a choice that is a list or a table by its label."""
        if self.choices is not None:
            return CategoricalDistribution([_label(choice) for choice in self.choices])
        assert self.low is not None
        assert self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None):
            return IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    @property
    def extremes(self) -> Sequence[Suggested]:
        """Values that must fit the experiment if all are to."""
        if self.choices is not None:
            return [_label(choice) for choice in self.choices]
        assert self.low is not None
        assert self.high is not None
        return [self.low, self.high]

    def written(self, suggested: Suggested) -> str:
        """The value as TOML."""
        if self.choices is None:
            return toml(suggested)
        return toml(next(choice for choice in self.choices if _label(choice) == suggested))


def _table(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list) else value


Space = dict[str, Annotated[Dimension, BeforeValidator(_table)]]
"""Key of the experiment file, `federation.optimizer.learning_rate`, -> its values."""


def refusal(key: str) -> str | None:
    """Why a sweep must not search this key; None if it may."""
    if key == "data.text":
        return None
    if key.split(".")[0] in _WORLD:
        return "trials that differ there are not measured alike, or do not differ; a sweep searches the model and how it learns"
    if any(claim == key or claim.startswith(f"{key}.") for claim in _CLAIM):
        return "a sweep must not choose what is claimed; `everbloom frontier` compares budgets"
    return None


def toml(value: Any) -> str:
    """One value in TOML, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")


def _label(choice: Any) -> Suggested:
    return choice if isinstance(choice, str | int | float | bool) else toml(choice)
