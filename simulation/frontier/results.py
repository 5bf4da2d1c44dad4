"""What a frontier's cells reached: one row a cell, mean and interval over seeds a point; `frontier.csv` and `frontier.json`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everbloom.intervals import CONFIDENCE, Estimate
from simulation.campaign.grid import Cell, Grid
from simulation.campaign.written import write_comparison
from simulation.frontier.grid import Point

MEASURES = ("ndcg@10", "hr@10")
_COLUMNS = (
    "unit", "mechanism", "epsilon", "seed", "status", "epsilon_spent", "delta",
    *MEASURES, *(f"popularity_{name}" for name in MEASURES), "reason",
)  # fmt: skip


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
    failed: Mapping[Cell[Point], str]

    def write(self, name: str, folder: Path) -> None:
        """Creates or replaces both files. Neither holds times, so that equal runs give equal files."""
        told = {
            "experiment": name,
            "confidence": CONFIDENCE,
            "popularity": {measure: estimate.rounded() for measure, estimate in self.popularity.items()},
            "points": [_point(result) for result in self.points],
            "refused": [{**vars(point), "reason": reason} for point, reason in self.refused.items()],
            "runs": [{name: row[name] for name in _COLUMNS} for row in self.rows],
        }
        write_comparison(folder, "frontier", _COLUMNS, self.rows, told)


def collect(grid: Grid[Point], out: Path, refused: Mapping[Point, str], failed: Mapping[Cell[Point], str]) -> Results:
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


def reached(summary: Mapping[str, Any]) -> str:
    """A summary's quality in a few words."""
    quality = ", ".join(f"{name.upper()} {measured(summary['test'], name):.4f}" for name in MEASURES)
    return quality + (f", {summary['failed']} updates failed" if summary["failed"] else "")


def _row(
    cell: Cell[Point], path: Path, refused: Mapping[Point, str], failed: Mapping[Cell[Point], str]
) -> dict[str, Any]:
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
    quality = {name: estimate.rounded() for name, estimate in result.quality.items()}
    ratio = {name: round(value, 6) for name, value in result.ratio.items()}
    return {
        **vars(result.point),
        "seeds": result.seeds,
        **quality,
        "of_no_privacy": ratio,
        "statement": result.statement,
    }
