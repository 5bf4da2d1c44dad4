"""A run's records as they lie in its directory, finished or still going on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from everbloom.errors import InputError
from everbloom.evaluation.records import FEDERATED, LABELS
from everbloom.experiment import Experiment, load_experiment

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class RunRecords:
    """`rounds`, `metrics`: the lines of the files of those names. `summary`: None while the run is not finished; `audit`: None without one."""

    path: Path
    experiment: Experiment
    text: str
    """The experiment file as it lies there."""
    environment: Row
    rounds: Sequence[Row]
    metrics: Sequence[Row]
    summary: Row | None
    audit: Row | None

    @cached_property
    def starts(self) -> list[int]:
        """[periods] how many rounds of the run came before each period's own."""
        periods = 1 + max((row["period"] for row in (*self.rounds, *self.metrics)), default=0)
        counts = [0] * periods
        for row in self.rounds:
            counts[row["period"]] += 1
        return [sum(counts[:period]) for period in range(periods)]

    def place(self, row: Row) -> int:
        """How many rounds of the whole run were done at a record."""
        return self.starts[row["period"]] + int(row["round"])

    @property
    def baselines(self) -> list[str]:
        """Whatever else was measured beside the federation."""
        return list(dict.fromkeys(str(row["model"]) for row in self.metrics if row["model"] != FEDERATED))

    @property
    def measures(self) -> list[str]:
        """Of the accuracy measures, those that a report shows, where they were measured; the one that selects comes first."""
        known = {key for row in self.metrics[:1] for key in row} - LABELS
        k = 10 if "ndcg@10" in known else max(self.experiment.evaluation.k)
        wanted = (self.experiment.evaluation.select, f"ndcg@{k}", f"hr@{k}", f"recall@{k}", f"mrr@{k}")
        return [name for name in dict.fromkeys(wanted) if name in known]

    def curve(self, measure: str, model: str = FEDERATED, protocol: str = "full") -> list[tuple[int, float]]:
        """(rounds done, value) on validation, over all users."""
        rows = [row for row in self.metrics if row["split"] == "validation" and row["slice"] == "all"]
        chosen = [row for row in rows if row["model"] == model and row["protocol"] == protocol]
        return [(self.place(row), float(row[measure])) for row in chosen if measure in row]

    def tests(self, model: str = FEDERATED, protocol: str = "full") -> list[Row]:
        """What was measured on each period's test when it was due: before the period was learnt, or after leave-one-out's rounds."""
        found = [row for row in self.metrics if row["split"] == "test" and row["model"] == model]
        due = [row for row in found if "after" not in row or row["after"] == row["period"] - 1]
        return [row for row in due if row["protocol"] == protocol and row["slice"] != "panel"]

    def reached(self, measure: str, model: str = FEDERATED, slice: str = "all", protocol: str = "full") -> float | None:
        """The mean over tested periods, each weighing the same; None where it was not measured."""
        rows = [row for row in self.tests(model, protocol) if row["slice"] == slice and measure in row]
        return float(sum(row[measure] for row in rows) / len(rows)) if rows else None

    @property
    def spent(self) -> float | None:
        """Epsilon so far; None without privacy."""
        return next((row["epsilon"] for row in reversed(self.rounds)), None)

    def total(self, key: str) -> float:
        """The sum of a key over all rounds."""
        return float(sum(row[key] for row in self.rounds))


def read_run(path: Path) -> RunRecords:
    """Raises `InputError` if there is no run, or its records are damaged."""
    for name in ("experiment.toml", "rounds.jsonl", "metrics.jsonl"):
        if not (path / name).is_file():
            raise InputError(
                f"{path}: no run's directory ({name} is missing); expected what `everbloom run --out` has written"
            )
    return RunRecords(
        path=path,
        experiment=load_experiment(path / "experiment.toml"),
        text=(path / "experiment.toml").read_text(encoding="utf-8"),
        environment=_object(path / "environment.json") or {},
        rounds=_lines(path / "rounds.jsonl"),
        metrics=_lines(path / "metrics.jsonl"),
        summary=_object(path / "summary.json"),
        audit=_object(path / "audit.json"),
    )


def find_runs(paths: Sequence[Path]) -> list[RunRecords]:
    """Each path is a run, or holds runs in `cells/` (a campaign's directory) or directly beneath it (the demo's). Raises `InputError`."""
    found: list[Path] = []
    for path in paths:
        if (path / "rounds.jsonl").is_file():
            found.append(path)
            continue
        inside = sorted(file.parent for folder in ("cells/*", "*") for file in path.glob(f"{folder}/rounds.jsonl"))
        if not inside:
            raise InputError(
                f"{path}: no run's directory, and none in it; expected what `everbloom run --out` has written"
            )
        found += inside
    return [read_run(path) for path in dict.fromkeys(found)]


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines alone: a run that goes on may be writing the last one."""
    text = path.read_text(encoding="utf-8")
    try:
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); run the experiment again") from None


def _object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); remove it, or run the experiment again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: damaged (no JSON object); remove it, or run the experiment again")
    return found
