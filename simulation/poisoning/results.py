"""What a suite's cells reached: one row a cell, mean and interval over seeds a point; `poisoning.csv` and `poisoning.json`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everbloom.intervals import CONFIDENCE, Estimate
from everbloom.study import Study
from simulation.campaign.grid import Cell, Grid
from simulation.campaign.written import write_comparison
from simulation.poisoning.grid import Point
from simulation.poisoning.measure import QUALITY, measured
from simulation.poisoning.scene import Scene

MEASURES = (*QUALITY, "promoted", "rank")
_COLUMNS = (
    "attack", "rule", "unit", "epsilon", "fraction", "seed", "status", *MEASURES,
    "attackers", "honest", "asked", "target", "epsilon_spent", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class PointResult:
    """A point's runs together; `measures` is empty where none is finished."""

    point: Point
    seeds: int
    measures: Mapping[str, Estimate]


@dataclass(frozen=True)
class Results:
    """Everything that the table shows."""

    rows: Sequence[Mapping[str, Any]]
    points: Sequence[PointResult]
    refused: Mapping[Point, str]
    failed: Mapping[Cell[Point], str]

    def write(self, name: str, folder: Path) -> None:
        """Creates or replaces both files. Neither holds times, so that equal runs give equal files."""
        told = {
            "experiment": name,
            "confidence": CONFIDENCE,
            "points": [_point(result) for result in self.points],
            "refused": [{**point.table, "reason": reason} for point, reason in self.refused.items()],
            "runs": [dict(row) for row in self.rows],
        }
        write_comparison(folder, "poisoning", _COLUMNS, self.rows, told)


def collect(
    grid: Grid[Point],
    out: Path,
    study_of: Callable[[Cell[Point]], Study],
    refused: Mapping[Point, str],
    failed: Mapping[Cell[Point], str],
) -> Results:
    """Reads the finished cells under `out/cells`, and measures those that were not yet; `study_of` opens a cell's study."""
    rows = [_row(cell, out / "cells" / cell.name, study_of, refused, failed) for cell in grid.cells]
    points = []
    for point in grid.points:
        if point not in refused:
            done = [
                row
                for cell, row in zip(grid.cells, rows, strict=True)
                if cell.point == point and row["status"] == "done"
            ]
            estimates = {name: Estimate.of([row[name] for row in done]) for name in MEASURES}
            measures = {name: estimate for name, estimate in estimates.items() if estimate is not None}
            points.append(PointResult(point, len(done), measures))
    return Results(rows, points, refused, failed)


def _row(
    cell: Cell[Point],
    folder: Path,
    study_of: Callable[[Cell[Point]], Study],
    refused: Mapping[Point, str],
    failed: Mapping[Cell[Point], str],
) -> dict[str, Any]:
    point = cell.point
    row: dict[str, Any] = {**dict.fromkeys(_COLUMNS), "attack": point.attack_name, "rule": point.rule_name}
    row |= {"unit": point.unit, "epsilon": point.epsilon, "fraction": point.fraction}
    row |= {"seed": cell.seed, "status": "open"}
    if point in refused:
        return row | {"status": "refused", "reason": refused[point]}
    if (folder / "summary.json").is_file():
        study = study_of(cell)
        spent = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["privacy"]["epsilon"]
        row |= {**measured(folder, study, Scene.of(study, point.fraction)), "status": "done", "epsilon_spent": spent}
    elif cell in failed:
        row |= {"status": "failed", "reason": failed[cell]}
    return row


def _point(result: PointResult) -> dict[str, Any]:
    measures = {name: estimate.rounded() for name, estimate in result.measures.items()}
    return {**result.point.table, "seeds": result.seeds, **measures}
