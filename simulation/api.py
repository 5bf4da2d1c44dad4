"""`everbloom.run`: an experiment from Python, as the command line runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from everbloom.experiment import Experiment, load_experiment, parse_experiment
from everbloom.report.run import Run
from simulation.commands import start_experiment
from simulation.run import free_directory


def run(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    overrides: Mapping[str, Any] | None = None,
    *,
    out: Path | str | None = None,
    progress: bool = False,
) -> Run:
    """Runs an experiment to its end and returns the run.

    `experiment`: a file, its tables, or an `Experiment`. `overrides`: keys of the experiment with points, as `-s` takes them:
    `{"privacy.epsilon": 4}`; None turns an optional one off. `out`: the run's directory; default: a new one under `runs/`. `progress`: print what
    `everbloom run` prints.

    Raises `InputError` for whatever is wrong with them, before any work.
    """
    resolved = _resolved(experiment, overrides or {})
    path = Path(out) if out is not None else free_directory(Path("runs"), resolved.name)
    start_experiment(resolved, path, Console(quiet=not progress))
    return Run(path)


def _resolved(experiment: Experiment | Mapping[str, Any] | Path | str, overrides: Mapping[str, Any]) -> Experiment:
    if isinstance(experiment, (str, Path)):
        return load_experiment(Path(experiment), [f"{key}={_toml(value)}" for key, value in overrides.items()])
    tables = experiment.model_dump(mode="json", exclude_none=True) if isinstance(experiment, Experiment) else experiment
    return parse_experiment(tables, overrides=[f"{key}={_toml(value)}" for key, value in overrides.items()])


def _toml(value: Any) -> str:
    """A value as TOML writes it in one line."""
    import json

    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
