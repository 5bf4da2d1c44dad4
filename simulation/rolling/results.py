"""What a rolling evaluation reached, cut by cut and together; `rolling.csv` and `rolling.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everbloom.intervals import CONFIDENCE, Estimate
from server.measuring import MODEL
from server.run_directory import RunDirectory
from simulation.campaign.grid import Cell
from simulation.campaign.periods import MEASURES
from simulation.campaign.running import Campaign
from simulation.campaign.written import write_comparison
from simulation.rolling.grid import Cut

MODELS = (MODEL, "popularity")
_COLUMNS = (
    "period",
    "start",
    "seed",
    "status",
    "users",
    *(f"{model}_{name}" for model in MODELS for name in MEASURES),
    "reason",
)


@dataclass(frozen=True)
class Results:
    """One row a run: `period`, `start` (the day the tested period begins with, or None), `seed`, `status`, the number of `users` tested, then each
    model's measures."""

    rows: Sequence[Mapping[str, Any]]
    starts: Mapping[Cut, str | None]

    @property
    def done(self) -> list[Mapping[str, Any]]:
        """Rows of finished runs."""
        return [row for row in self.rows if row["status"] == "done"]

    def of_cut(self, cut: Cut, model: str, measure: str) -> Estimate | None:
        """Mean and interval over seeds."""
        return Estimate.of([row[f"{model}_{measure}"] for row in self.done if row["period"] == cut.origin])

    def together(self, model: str, measure: str) -> Estimate | None:
        """Mean and interval over cuts, each the mean of its seeds: runs of one cut are no independent draws of a month."""
        means = (self.of_cut(cut, model, measure) for cut in self.starts)
        return Estimate.of([estimate.mean for estimate in means if estimate is not None])

    def gain(self, measure: str) -> Estimate | None:
        """The model less popularity, over cuts."""
        found = []
        for cut in self.starts:
            ours, theirs = (self.of_cut(cut, model, measure) for model in MODELS)
            if ours is not None and theirs is not None:
                found.append(ours.mean - theirs.mean)
        return Estimate.of(found)

    def write(self, name: str, folder: Path) -> None:
        """Creates or replaces both files. Neither holds times, so that equal runs give equal files."""
        told = {
            "experiment": name,
            "confidence": CONFIDENCE,
            "cuts": [
                {
                    "period": cut.origin,
                    "start": start,
                    **{
                        model: {measure: _told(self.of_cut(cut, model, measure)) for measure in MEASURES}
                        for model in MODELS
                    },
                }
                for cut, start in self.starts.items()
            ],
            "together": {
                model: {measure: _told(self.together(model, measure)) for measure in MEASURES} for model in MODELS
            },
            "less_popularity": {measure: _told(self.gain(measure)) for measure in MEASURES},
            "runs": list(self.rows),
        }
        write_comparison(folder, "rolling", _COLUMNS, self.rows, told)


def collect(campaign: Campaign[Cut], starts: Mapping[Cut, str | None], failed: Mapping[Cell[Cut], str]) -> Results:
    """Reads the finished cells. `starts`: the day each cut's period begins with."""
    return Results([_row(campaign, cell, starts[cell.point], failed) for cell in campaign.grid.cells], dict(starts))


def _row(
    campaign: Campaign[Cut], cell: Cell[Cut], start: str | None, failed: Mapping[Cell[Cut], str]
) -> dict[str, Any]:
    place = {"period": cell.point.origin, "start": start, "seed": cell.seed}
    row: dict[str, Any] = {**dict.fromkeys(_COLUMNS), **place, "status": "failed" if cell in failed else "open"}
    if not campaign.finished(cell):
        return row | {"reason": failed.get(cell)}
    for record in RunDirectory(campaign.run_folder(cell)).records("metrics"):
        tested = record["split"] == "test" and record["protocol"] == "full" and record["slice"] == "all"
        # The second measurement of the model, at the run's end, is of the same parameters.
        if tested and record.get("after", 0) == 0:
            row |= {f"{record['model']}_{name}": record[name] for name in MEASURES}
            row["users"] = record["users"]
    return row | {"status": "done"}


def _told(estimate: Estimate | None) -> Mapping[str, float | None] | None:
    return None if estimate is None else estimate.rounded()
