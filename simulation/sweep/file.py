"""A sweep's file: which experiment, what is searched, for what, and how long."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SerializeAsAny, ValidationError, field_validator

from everbloom.errors import ConfigError
from everbloom.evaluation.metrics import metric_keys
from everbloom.experiment import Experiment, explained, load_experiment, parse_experiment
from everbloom.registry import Table
from everbloom.seeding import derive
from simulation.sweep.pruners import PRUNERS, Pruner
from simulation.sweep.samplers import SAMPLERS, Sampler
from simulation.sweep.space import Space, Suggested, refusal, toml


class Objective(Table):
    """What a trial is to be good at."""

    metric: str = "ndcg@10"
    """A measure on validation, all items ranked. A trial's value: at the round whose parameters each period keeps; mean over periods and seeds."""
    direction: Literal["maximize", "minimize"] = "maximize"

    @field_validator("metric")
    @classmethod
    def _not_the_test(cls, metric: str) -> str:
        if "test" in metric.lower():
            raise ValueError(
                "what is chosen by the test is no longer tested by it; name a measure, such as ndcg@10, and it is taken on validation"
            )
        return metric.removeprefix("validation/")


class SweepConfig(Table):
    """The file. Whoever changes anything but `trials` begins another sweep."""

    experiment: str
    """An experiment file, by its place relative to this file."""
    trials: PositiveInt = 50
    """How many, those of earlier calls included."""
    seeds: PositiveInt = 1
    """Runs of each trial; every trial has the same seeds."""
    workers: PositiveInt = 1
    """Trials that run at the same time, each in a process of its own. None of them knows yet what the others reach, so this decides about results."""
    objective: Objective = Objective()
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Keys of the experiment that are other in all trials (and in what comes out): "federation.rounds" = 40."""
    space: Annotated[Space, Field(min_length=1)]
    sampler: Annotated[SerializeAsAny[Sampler], BeforeValidator(SAMPLERS.parse)] = Field(
        default_factory=lambda: SAMPLERS.parse("tpe")
    )
    pruner: Annotated[SerializeAsAny[Pruner], BeforeValidator(PRUNERS.parse)] = Field(
        default_factory=lambda: PRUNERS.parse("median")
    )


@dataclass(frozen=True)
class Sweep:
    """A sweep's file beside its experiment."""

    config: SweepConfig
    base: Experiment
    """With what is `fixed`, and with the command's overrides."""
    tables: Mapping[str, Any]
    """Of the experiment file, as they are written there."""
    overrides: tuple[str, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of each trial's runs; none is the experiment's own, which what comes out is to be run with."""
        return tuple(derive(self.base.seed, "sweep", client=place) % 2**31 for place in range(self.config.seeds))

    def experiment(self, values: Mapping[str, Suggested], seed: int | None = None) -> Experiment:
        """With these values of searched keys. Raises `ConfigError` if they do not fit together."""
        # What a whole table is replaced by comes before keys within it.
        searched = [
            f"{key}={self.config.space[key].written(values[key])}"
            for key in sorted(values, key=lambda key: key.count("."))
        ]
        seeded = [] if seed is None else [f"seed={seed}"]
        return parse_experiment(self.tables, "the experiment", [*self.overrides, *searched, *seeded])


def load_sweep(path: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Reads a sweep's file and its experiment. Raises `ConfigError`, also if a value of the space alone would not fit."""
    config = _config(path)
    place = path.parent / config.experiment
    changed = (*(f"{key}={toml(value)}" for key, value in config.fixed.items()), *overrides)
    base = load_experiment(place, changed)
    sweep = Sweep(config, base, tomllib.loads(place.read_text(encoding="utf-8")), changed)
    known = metric_keys(base.evaluation.k)
    if config.objective.metric not in known:
        raise ConfigError(
            f"{path}: objective.metric: {config.objective.metric!r} is not measured; expected one of: {', '.join(known)}"
        )
    for key, dimension in config.space.items():
        if (reason := refusal(key)) is not None:
            raise ConfigError(f"{path}: space.{key}: {reason}")
        for value in dimension.extremes:
            try:
                sweep.experiment({key: value})
            except ConfigError as error:
                raise ConfigError(f"{path}: space.{key}: {value} does not fit {error}") from None
    return sweep


def _config(path: Path) -> SweepConfig:
    if not path.is_file():
        raise ConfigError(f"{path}: no such sweep file; configs/sweeps/ has examples")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None
    try:
        return SweepConfig.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explained(error, SweepConfig)}") from None
