"""What a frontier's cells reached: one row a cell, mean and interval over seeds a point; `frontier.csv` and `frontier.json`."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from server.run_directory import RunDirectory
from simulation.frontier.grid import Cell, Grid, Point

MEASURES = ("ndcg@10", "hr@10")
CONFIDENCE = 0.95
_COLUMNS = (
    "unit", "mechanism", "epsilon", "seed", "status", "epsilon_spent", "delta",
    *MEASURES, *(f"popularity_{name}" for name in MEASURES), "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds and half the width of its 95% interval, None for one seed: mean +- t_{n-1} s / sqrt(n).

    It tells of training's randomness (initial parameters, cohorts, negatives, noise) for these people; nothing of other people.
    """

    mean: float
    half: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate | None":
        """None without values."""
        if not values:
            return None
        n = len(values)
        half = None if n == 1 else 0.0
        if min(values) < max(values):  # equal ones have no spread, whatever rounding makes of it
            half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1)) / math.sqrt(n)
        return cls(float(np.mean(values)), half)


@dataclass(frozen=True)
class PointResult:
    """A point's runs together; `quality` is empty where none is finished."""

    point: Point
    seeds: int
    quality: Mapping[str, Estimate]
    ratio: Mapping[str, float]
    """Of the mean to that without privacy, where there is one; by measure."""
    statement: str | None
    """The exact claim of its runs."""


@dataclass(frozen=True)
class Results:
    """Everything that the table and the picture show."""

    rows: Sequence[Mapping[str, Any]]
    points: Sequence[PointResult]
    popularity: Mapping[str, Estimate]
    refused: Mapping[Point, str]
    failed: Mapping[Cell, str]

    def write(self, name: str, folder: Path) -> None:
        """Creates or replaces both files. Neither holds times, so that equal runs give equal files."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        directory = RunDirectory(folder)
        directory.write("frontier.csv", stream.getvalue())
        told = {
            "experiment": name,
            "confidence": CONFIDENCE,
            "popularity": {measure: _interval(estimate) for measure, estimate in self.popularity.items()},
            "points": [_point(result) for result in self.points],
            "refused": [{**vars(point), "reason": reason} for point, reason in self.refused.items()],
            "runs": [{name: row[name] for name in _COLUMNS} for row in self.rows],
        }
        directory.write("frontier.json", json.dumps(told, indent=2) + "\n")


def collect(grid: Grid, out: Path, refused: Mapping[Point, str], failed: Mapping[Cell, str]) -> Results:
    """Reads the summaries of the finished cells under `out/cells`."""
    rows = [_row(cell, out / "cells" / cell.name / "summary.json", refused, failed) for cell in grid.cells]
    done = [(cell.point, row) for cell, row in zip(grid.cells, rows, strict=True) if row["status"] == "done"]
    without = _quality(row for point, row in done if point.epsilon is None)
    points = []
    for point in grid.points:
        if point not in refused:
            own = [row for other, row in done if other == point]
            quality = _quality(own)
            ratio = {name: value.mean / without[name].mean for name, value in quality.items() if _level(without, name)}
            statement = own[0]["statement"] if own else None
            points.append(PointResult(point, len(own), quality, ratio, statement))
    popularity = _quality((row for _, row in done), "popularity_")
    return Results(rows, points, popularity, refused, failed)


def measured(protocols: Mapping[str, Mapping[str, float]], name: str) -> float:
    """A measure among all items, of a summary's protocols."""
    return float(protocols["full"][name])


def _row(cell: Cell, path: Path, refused: Mapping[Point, str], failed: Mapping[Cell, str]) -> dict[str, Any]:
    row: dict[str, Any] = {**dict.fromkeys(_COLUMNS), **vars(cell.point), "seed": cell.seed, "status": "open"}
    if cell.point in refused:
        return row | {"status": "refused", "reason": refused[cell.point]}
    if path.is_file():
        summary = json.loads(path.read_text(encoding="utf-8"))
        privacy, popularity = summary["privacy"], summary["baselines"]["popularity"]
        row |= {
            "status": "done",
            "epsilon_spent": privacy["epsilon"],
            "delta": privacy["delta"],
            "statement": privacy["statement"],
        }
        for name in MEASURES:
            row |= {name: measured(summary["test"], name), f"popularity_{name}": measured(popularity, name)}
    elif cell in failed:
        row |= {"status": "failed", "reason": failed[cell]}
    return row


def _quality(rows: Iterable[Mapping[str, Any]], prefix: str = "") -> dict[str, Estimate]:
    found = list(rows)
    estimates = {name: Estimate.of([row[prefix + name] for row in found]) for name in MEASURES}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def _level(without: Mapping[str, Estimate], name: str) -> bool:
    """Whether there is something to divide by."""
    return name in without and without[name].mean > 0


def _point(result: PointResult) -> dict[str, Any]:
    quality = {name: _interval(estimate) for name, estimate in result.quality.items()}
    ratio = {name: round(value, 6) for name, value in result.ratio.items()}
    return {
        **vars(result.point),
        "seeds": result.seeds,
        **quality,
        "of_no_privacy": ratio,
        "statement": result.statement,
    }


def _interval(estimate: Estimate) -> dict[str, float | None]:
    low, high = (
        (None, None) if estimate.half is None else (estimate.mean - estimate.half, estimate.mean + estimate.half)
    )
    return {
        "mean": round(estimate.mean, 6),
        "low": None if low is None else round(low, 6),
        "high": None if high is None else round(high, 6),
    }
