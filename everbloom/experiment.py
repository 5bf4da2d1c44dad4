"""An experiment: the parsed TOML file, with overrides applied and defaults filled in."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args, get_origin

import tomli_w
from pydantic import Field, ValidationError, model_validator

from everbloom.config import (
    BaselineConfig,
    CentralConfig,
    ContinualConfig,
    DataConfig,
    EvaluationConfig,
    FederationConfig,
    FeedbackConfig,
    LearningConfig,
    ModelConfig,
    PopulationConfig,
    PrivacyConfig,
    ProtocolConfig,
    RuntimeConfig,
    TrackingConfig,
)
from everbloom.errors import ConfigError
from everbloom.registry import MethodProblems, Table


class Experiment(Table):
    """Everything that determines a run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    data: DataConfig
    protocol: ProtocolConfig = ProtocolConfig()
    model: ModelConfig = ModelConfig()
    learning: LearningConfig = LearningConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    federation: FederationConfig = FederationConfig()
    continual: ContinualConfig | None = None
    population: PopulationConfig | None = None
    feedback: FeedbackConfig | None = None
    baseline: BaselineConfig | None = None
    """A published federated recommender, trained as its paper says, instead of [model] and [learning]."""
    evaluation: EvaluationConfig = EvaluationConfig()
    central: CentralConfig = CentralConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        if self.continual is not None and self.protocol.name != "timeline":
            raise ValueError(
                '[continual] needs periods, and leave-one-out has none; set protocol.name = "timeline" or remove [continual]'
            )
        if self.continual is not None and self.federation.average is not None:
            raise ValueError(
                "federation.average: a [continual] method decides what is served; remove federation.average, or set "
                'continual.method = { name = "averaging", decay = ... }, which averages over periods too'
            )
        if self.model.user.gaps and self.protocol.name != "timeline":
            raise ValueError(
                f'model.user.gaps: under protocol.name = "{self.protocol.name}" only the measured event itself says when its item is asked for, '
                'which would be a look at the future; use protocol.name = "timeline", or model.user.gaps = false'
            )
        if self.federation.aggregation.separate and self.model.prior is not None and self.model.prior.rounds:
            raise ValueError(
                f'federation.aggregation = "{self.federation.aggregation.name}": [model.prior] is counted, and counts are sums, which such '
                'a rule would not give; use federation.aggregation = "mean", or remove [model.prior]'
            )
        if self.protocol.repeats and self.protocol.name != "timeline":
            raise ValueError(
                f'protocol.repeats: under protocol.name = "{self.protocol.name}" what is to be found is always ranked; '
                'use protocol.name = "timeline", or protocol.repeats = false'
            )
        if self.baseline is not None:
            self._check_baseline(self.baseline.name)
        return self

    def _check_baseline(self, name: str) -> None:
        """Raises `ValueError` for what a published baseline has no place for: it would be ignored."""
        if self.privacy.unit != "none":
            raise ValueError(
                f"[privacy] with [baseline]: {name} has no privacy guarantee, because the rows of a device's upload show which items its user "
                "has met and nothing clips or hides them; remove [privacy], or remove [baseline] to train the private recommender"
            )
        if self.protocol.name != "leave-one-out":
            raise ValueError(
                'baseline: the papers know one period and measure each user\'s last item; set protocol.name = "leave-one-out"'
            )
        for table in ("privacy", "model", "learning", "continual", "population", "feedback", "central", "runtime"):
            if getattr(self, table) != type(self).model_fields[table].get_default(call_default_factory=True):
                raise ValueError(f"[{table}] with [baseline]: {name} does not read it; remove [{table}]")
        read = {"rounds", "checkpoint_every"}
        set_otherwise = [
            key
            for key, field in FederationConfig.model_fields.items()
            if key not in read and getattr(self.federation, key) != field.get_default(call_default_factory=True)
        ]
        if set_otherwise:
            raise ValueError(
                f"federation.{set_otherwise[0]} with [baseline]: in {name} every client takes part in every round and the paper's aggregation "
                f"follows; of [federation] it reads {' and '.join(sorted(read))}; remove the key"
            )

    def rounds(self, period: int) -> int:
        """Rounds of a period: those that count, and those that learn."""
        rounds = self.federation.rounds
        if self.continual is not None:
            rounds = self.continual.method.rounds(period, rounds, self.continual.warm_rounds or rounds)
        return rounds + self.model.prior.rounds if rounds and self.model.prior is not None else rounds

    def to_toml(self) -> str:
        """The resolved experiment file; `load` of it gives an equal experiment."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Reads an experiment file; `overrides` are `table.key=value` with a TOML value (a bare word is a string). Raises `ConfigError`."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such experiment file; `everbloom run` without a path uses the embedded default")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None
    return parse_experiment(tables, where=str(path), overrides=overrides)


def parse_experiment(tables: Mapping[str, Any], where: str = "experiment", overrides: Iterable[str] = ()) -> Experiment:
    """Validates the tables of an experiment file and `overrides`, as above; `where` heads the message of a `ConfigError`."""
    changed = deepcopy(dict(tables))
    for override in overrides:
        _apply(changed, override)
    try:
        return Experiment.model_validate(changed)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explained(error, Experiment)}") from None


def explained(error: ValidationError, table: type[Table]) -> str:
    """What is wrong with the tables of a file that were to become a `table`, on one line."""
    return "; ".join(_problems(error, table))


def _apply(tables: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"override {override!r}: expected key=value, for example federation.rounds=20")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = key.strip().split(".")
    table: Any = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"override {override!r}: {parent} is a value, not a table")
    if value == "none" and not _is_choice("none", (*parents, last)):
        if last not in table and _names_are_free(tuple(parents)):
            raise ConfigError(
                f"override {override!r}: {'.'.join(parents)} has no {last}; it has: {', '.join(table) or 'nothing'}"
            )
        value = None
    table[last] = value


def _is_choice(value: str, place: tuple[str, ...]) -> bool:
    """Whether the key at `place` has this word among its choices (`privacy.unit`), rather than being optional (`model.items.features`)."""
    owner, _ = _owner(Experiment, place)
    field = owner.model_fields.get(place[-1])
    return field is not None and value in get_args(field.annotation)


def _names_are_free(place: tuple[str, ...]) -> bool:
    """Whether the file chooses the names of the tables in the one at `place` (`model.items.modalities`): then none of them is unknown."""
    owner, _ = _owner(Experiment, place)
    field = owner.model_fields.get(place[-1]) if place else None
    return field is not None and get_origin(field.annotation) in (dict, Mapping)


def _problems(error: ValidationError, table: type[Table], prefix: tuple[str, ...] = ()) -> list[str]:
    """One phrase a problem: where, what was expected, what was given. `table` is what was validated, found at `prefix`."""
    found: dict[tuple[str, str], list[str]] = {}
    for problem in error.errors(include_url=False):
        inner = problem.get("ctx", {}).get("error")
        if isinstance(inner, MethodProblems):
            found |= {
                ("", phrase): []
                for phrase in _problems(inner.problems, inner.method, (*prefix, *map(str, problem["loc"])))
            }
            continue
        owner, keys = _owner(table, problem["loc"])
        where = ".".join((*prefix, *keys)) or "the file"
        given = problem["input"]
        shown = "" if isinstance(given, (dict, Table)) else f" (given: {json.dumps(given, default=str)})"
        if problem["type"] == "extra_forbidden":
            told, shown = _unknown_key(owner, keys[-1]), ""
        elif problem["type"] == "missing":
            told = "missing; it has no default"
        else:
            told = problem["msg"].removeprefix("Value error, ")
        alternatives = found.setdefault((f"{where}: ", shown), [])
        if told not in alternatives:  # what was tried for one value (a number, a fraction) is one problem
            alternatives.append(told)
    return [f"{where}{', or: '.join(told)}{shown}" for (where, shown), told in found.items()]


def _owner(table: type[Table], place: tuple[int | str, ...]) -> tuple[type[Table], list[str]]:
    """The table that the last key of `place` stands in, and `place` as the file's keys, without pydantic's names of alternatives."""
    keys = []
    for depth, step in enumerate(place):
        keys.append(str(step))
        if isinstance(step, int):  # one of a list of tables
            continue
        field = {field.alias or name: field for name, field in table.model_fields.items()}.get(str(step))
        if field is None:
            break
        nested = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_table(kind)]
        if nested:
            table = nested[0]
        elif depth + 1 < len(place):
            # What follows a plain value: a key or a position within it, or which alternative was tried.
            keys += [
                str(rest)
                for rest in place[depth + 1 :]
                if not str(rest).startswith(("constrained-", "literal[", "[key]"))
            ]
            break
    return table, keys


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Table)


def _unknown_key(table: type[Table], key: str) -> str:
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = difflib.get_close_matches(key, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ";"
    return f"unknown key{meant} the keys here are: {', '.join(known)}"
