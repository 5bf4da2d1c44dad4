"""What a frontier runs: every epsilon under every unit and mechanism, each with every seed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, parse_experiment
from everbloom.methods import MECHANISMS
from simulation.campaign.grid import Cell, Family, Grid, seeds_of, words


@dataclass(frozen=True)
class Point:
    """One place on the frontier. `epsilon` is None without privacy, `mechanism` where the experiment names none."""

    unit: str
    mechanism: str | None
    epsilon: float | None

    @property
    def line(self) -> str:
        """The curve this lies on: unit and mechanism."""
        return self.unit if self.mechanism is None else f"{self.unit}, {self.mechanism}"

    @property
    def budget(self) -> str:
        """In words, without unit and mechanism."""
        return "no privacy" if self.epsilon is None else f"epsilon {written(self.epsilon)}"

    @property
    def label(self) -> str:
        """In words."""
        return self.budget if self.epsilon is None else f"{self.line}, {self.budget}"

    @property
    def name(self) -> str:
        """As a part of a directory's name."""
        if self.epsilon is None:
            return "no-privacy"
        return "-".join(filter(None, (self.unit, self.mechanism, "epsilon", written(self.epsilon))))

    @property
    def table(self) -> dict[str, Any]:
        """As a TOML table."""
        return {key: value for key, value in vars(self).items() if value is not None}


def make_grid(
    base: Experiment, epsilons: Iterable[str], units: Iterable[str], mechanisms: Iterable[str], seeds: int
) -> Grid[Point]:
    """The grid that the command's options ask for. A mechanism implies its unit; given both, they are paired where they fit.

    Each option is a list of words, or of words separated by commas. Seeds count from the experiment's own. Raises `ConfigError`.
    """
    counted = seeds_of(base, seeds)
    wanted = _epsilons(words("--epsilon", epsilons))
    points = []
    private = [epsilon for epsilon in wanted if epsilon is not None]
    if private:
        for unit, mechanism in _lines(base, words("--unit", units), words("--mechanism", mechanisms)):
            # What the experiment makes of it: the unit's default mechanism, if there is one, is named like one that was asked for.
            meant = cell_experiment(base, Cell(Point(unit, mechanism, private[0]), base.seed))
            found = _mechanism(_privacy(meant))
            points += [Point(unit, found, epsilon) for epsilon in private]
    if None in wanted:
        points.append(Point("none", None, None))
    return Grid(tuple(dict.fromkeys(points)), counted)


def cell_experiment(base: Experiment, cell: Cell[Point]) -> Experiment:
    """The experiment with this cell's privacy and seed; everything else in [privacy] stays as it was. Raises `ConfigError` if they do not fit."""
    tables = base.model_dump(mode="json", exclude_none=True)
    point = cell.point
    if point.epsilon is None:
        privacy: dict[str, Any] = {"unit": "none"}
    else:
        named = _mechanism(tables["privacy"])
        privacy = {key: value for key, value in tables["privacy"].items() if key != "noise_multiplier"}
        privacy |= {"unit": point.unit, "epsilon": point.epsilon}
        if point.mechanism != named:  # a mechanism's options belong to it alone
            privacy.pop("mechanism", None)
            privacy |= {} if point.mechanism is None else {"mechanism": {"name": point.mechanism}}
    return parse_experiment({**tables, "seed": cell.seed, "privacy": privacy}, where=point.label)


FRONTIER = Family(
    "frontier",
    "frontier.toml",
    lambda row: Point(row["unit"], row.get("mechanism"), row.get("epsilon")),
    cell_experiment,
)


def written(epsilon: float) -> str:
    """An epsilon in the shortest form that tells it from every other one: 8, 0.5."""
    return f"{epsilon:g}" if float(f"{epsilon:g}") == epsilon else repr(epsilon)


def _epsilons(given: Sequence[str]) -> list[float | None]:
    """In rising order, None at the end."""
    found: set[float] = set()
    for word in given:
        if word == "none":
            continue
        try:
            epsilon = float(word)
        except ValueError:
            epsilon = math.nan
        if not (math.isfinite(epsilon) and epsilon > 0):
            raise ConfigError(f"--epsilon {word}: expected positive numbers or none, for example 1,2,4,8,none")
        found.add(epsilon)
    if not given:
        raise ConfigError("--epsilon: nothing given; expected positive numbers or none, for example 1,2,4,8,none")
    return [*sorted(found), *([None] if "none" in given else [])]


def _lines(base: Experiment, units: Sequence[str], mechanisms: Sequence[str]) -> list[tuple[str, str | None]]:
    """(unit, mechanism) of each curve; None: what the experiment means by the unit. Without a unit, a mechanism takes the experiment's if it can keep
    it private, otherwise its own first."""
    own = base.privacy.unit
    if "none" in units:
        raise ConfigError("--unit none: runs without privacy are asked for with --epsilon none")
    for mechanism in mechanisms:
        if mechanism not in MECHANISMS.names():
            raise ConfigError(f"--mechanism {mechanism}: unknown; expected one of: {', '.join(MECHANISMS.names())}")
    keeps = {mechanism: MECHANISMS.method_class(mechanism).units for mechanism in mechanisms}
    if not units and not mechanisms:
        if own == "none":
            raise ConfigError(
                "privacy.unit: the experiment is not private, so an epsilon alone means nothing; give --unit, for example --unit example"
            )
        return [(own, _mechanism(_privacy(base)))]
    if not mechanisms:
        return [(unit, _mechanism(_privacy(base)) if unit == own else None) for unit in units]
    if not units:
        return [(own if own in keeps[name] else keeps[name][0], name) for name in mechanisms]
    pairs = [(unit, name) for unit in units for name in mechanisms if unit in keeps[name]]
    for unit in units:
        if unit not in [paired for paired, _ in pairs]:
            raise ConfigError(f"--unit {unit}: none of --mechanism {','.join(mechanisms)} gives a guarantee for it")
    for name in mechanisms:
        if name not in [paired for _, paired in pairs]:
            raise ConfigError(
                f"--mechanism {name}: gives a guarantee for {' and '.join(keeps[name])}, not for --unit {','.join(units)}"
            )
    return list(pairs)


def _privacy(experiment: Experiment) -> dict[str, Any]:
    return experiment.privacy.model_dump(mode="json", exclude_none=True)


def _mechanism(privacy: Mapping[str, Any]) -> str | None:
    """The mechanism's name in a [privacy] table."""
    mechanism = privacy.get("mechanism")
    return str(mechanism["name"]) if isinstance(mechanism, Mapping) else None
