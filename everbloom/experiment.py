"""An experiment: the parsed TOML file, with overrides applied and defaults filled in."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, ValidationError

from everbloom.config import (
    CentralConfig,
    DataConfig,
    EvaluationConfig,
    FederationConfig,
    LearningConfig,
    ModelConfig,
    PrivacyConfig,
    ProtocolConfig,
    RuntimeConfig,
)
from everbloom.errors import ConfigError
from everbloom.registry import Table


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
    evaluation: EvaluationConfig = EvaluationConfig()
    central: CentralConfig = CentralConfig()
    runtime: RuntimeConfig = RuntimeConfig()

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
    for override in overrides:
        _apply(tables, override)
    return parse_experiment(tables, where=str(path))


def parse_experiment(tables: Mapping[str, Any], where: str = "experiment") -> Experiment:
    """Validates the tables of an experiment file; `where` heads the message of a `ConfigError`."""
    try:
        return Experiment.model_validate(dict(tables))
    except ValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(_problems(error))}") from None


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
    if isinstance(value, str) and value == "none" and last != "unit":
        value = None
    table[last] = value


def _problems(error: ValidationError, prefix: str = "") -> list[str]:
    """One phrase a problem: where, what was given, what was expected."""
    phrases = []
    for problem in error.errors(include_url=False):
        where = ".".join([prefix, *map(str, problem["loc"])] if prefix else map(str, problem["loc"]))
        inner = problem.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            phrases += _problems(inner, where)
        elif problem["type"] == "extra_forbidden":
            phrases.append(f"{where}: unknown key; see `everbloom check` for the keys there are")
        elif problem["type"] == "missing":
            phrases.append(f"{where}: missing; it has no default")
        else:
            given = problem["input"]
            shown = "" if isinstance(given, (dict, Table)) else f" (given: {json.dumps(given, default=str)})"
            phrases.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}{shown}")
    return phrases
