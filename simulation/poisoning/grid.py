"""What a poisoning suite runs: every attack against every aggregation rule, and against privacy, each with every seed."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment
from everbloom.methods import AGGREGATION_RULES, AggregationRule
from everbloom.registry import Method, Registry
from everbloom.study import Study
from simulation.campaign.grid import Cell, Family, Grid, seeds_of, words
from simulation.frontier.grid import written
from simulation.grid import Answer, Between
from simulation.poisoning.answers import Attackers
from simulation.poisoning.attack import ATTACKS, Attack
from simulation.poisoning.scene import Scene


@dataclass(frozen=True)
class Point:
    """One attack under one rule and one kind of privacy. `attack` is None where everybody is honest, `epsilon` without privacy."""

    attack: Attack | None
    rule: AggregationRule
    unit: str
    epsilon: float | None
    fraction: float

    @property
    def attack_name(self) -> str:
        """As it is asked for."""
        return "none" if self.attack is None else _spelled(ATTACKS, self.attack)

    @property
    def rule_name(self) -> str:
        """As it is asked for."""
        return _spelled(AGGREGATION_RULES, self.rule)

    @property
    def privacy(self) -> str:
        """In words."""
        return "none" if self.epsilon is None else f"{self.unit}, epsilon {written(self.epsilon)}"

    @property
    def label(self) -> str:
        """In words."""
        attacked = "no attack" if self.attack is None else self.attack_name
        return ", ".join([attacked, self.rule_name, *([] if self.epsilon is None else [self.privacy])])

    @property
    def name(self) -> str:
        """As a part of a directory's name."""
        private = [] if self.epsilon is None else [self.unit, "epsilon", written(self.epsilon)]
        return "-".join([self.attack_name, self.rule_name, *private]).replace(":", "-")

    @property
    def table(self) -> dict[str, Any]:
        """As a TOML table."""
        told: dict[str, Any] = {"rule": self.rule.model_dump(mode="json", exclude_none=True), "unit": self.unit}
        told |= {"fraction": self.fraction}
        told |= {} if self.attack is None else {"attack": self.attack.model_dump(mode="json", exclude_none=True)}
        return told if self.epsilon is None else {**told, "epsilon": self.epsilon}


def make_grid(
    base: Experiment,
    attacks: Iterable[str],
    rules: Iterable[str],
    fraction: float,
    epsilon: float | None,
    units: Iterable[str],
    private_rules: Iterable[str],
    seeds: int,
) -> Grid[Point]:
    """The grid that the command's options ask for: no attack and each attack, under each rule without privacy, and under each unit with epsilon.

    A word is a name, or `name:option=value`. Raises `ConfigError`.
    """
    if not 0 < fraction < 0.5:
        raise ConfigError(f"--fraction {fraction:g}: expected a share of the people above 0 and below 0.5")
    if epsilon is not None and epsilon <= 0:
        raise ConfigError(f"--epsilon {epsilon:g}: expected a positive number")
    wanted: list[Attack | None] = [None, *_chosen(ATTACKS, "--attacks", attacks)]
    plain = _rules(base, "--rules", rules)
    places: list[tuple[AggregationRule, str, float | None]] = [(rule, "none", None) for rule in plain]
    if epsilon is not None:
        beside = _rules(base, "--private-rules", private_rules)
        places += [(rule, unit, epsilon) for unit in words("--unit", units) for rule in beside]
    points = [Point(attack, rule, unit, budget, fraction) for attack in wanted for rule, unit, budget in places]
    return Grid(tuple(points), seeds_of(base, seeds))


def cell_experiment(base: Experiment, cell: Cell[Point]) -> Experiment:
    """The experiment with this cell's rule, privacy and seed. Raises `ConfigError` if they do not fit."""
    tables = base.model_dump(mode="json", exclude_none=True)
    point = cell.point
    privacy: dict[str, Any] = {"unit": "none"}
    if point.epsilon is not None:
        privacy = {key: value for key, value in tables["privacy"].items() if key != "noise_multiplier"}
        if point.unit != base.privacy.unit:  # a mechanism's options belong to its units alone
            privacy.pop("mechanism", None)
        privacy |= {"unit": point.unit, "epsilon": point.epsilon}
    federation = {**tables["federation"], "aggregation": point.rule.model_dump(mode="json", exclude_none=True)}
    changed = {**tables, "seed": cell.seed, "privacy": privacy, "federation": federation}
    return parse_experiment(changed, where=point.label)


def _between(point: Point) -> Between | None:
    return None if point.attack is None else partial(_attacked, point.attack, point.fraction)


def _attacked(attack: Attack, fraction: float, study: Study, ledger: Path, everybody: Answer) -> Answer:
    return Attackers(study, ledger, everybody, attack, Scene.of(study, fraction)).answer


def _read(row: Mapping[str, Any]) -> Point:
    attack = ATTACKS.parse(row["attack"]) if "attack" in row else None
    return Point(attack, AGGREGATION_RULES.parse(row["rule"]), row["unit"], row.get("epsilon"), row["fraction"])


POISONING = Family("poisoning suite", "poisoning.toml", _read, cell_experiment, _between)


def _rules(base: Experiment, option: str, given: Iterable[str]) -> list[AggregationRule]:
    """The experiment's own rule keeps its options where it is named alone."""
    own = base.federation.aggregation
    return [
        own if rule == AGGREGATION_RULES.parse(own.name) else rule for rule in _chosen(AGGREGATION_RULES, option, given)
    ]


def _chosen(registry: Registry[Any], option: str, given: Iterable[str]) -> list[Any]:
    found = []
    for word in words(option, given):
        name, *options = word.split(":")
        if name not in registry.names():
            raise ConfigError(f"{option} {word}: expected one of: {', '.join(registry.names())}")
        try:
            found.append(registry.parse({"name": name, **tomllib.loads("\n".join(options))}))
        except ValueError as error:
            raise ConfigError(
                f"{option} {word}: after a name come options of it as :key=value ({' '.join(str(error).split())})"
            ) from None
    return list(dict.fromkeys(found))


def _spelled(registry: Registry[Any], method: Method) -> str:
    """The word that asks for it: its name, and what differs from the defaults."""
    usual = registry.parse(method.name).model_dump(mode="json")
    given = method.model_dump(mode="json")
    return ":".join([method.name, *(f"{key}={value}" for key, value in given.items() if value != usual[key])])
