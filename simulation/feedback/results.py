"""What the loops came to: a row a loop, seed and step; mean and interval over seeds; `feedback.csv` and `feedback.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from everbloom.intervals import CONFIDENCE, Estimate
from simulation.campaign.written import write_comparison
from simulation.feedback.arms import CONTROL
from simulation.feedback.measures import MEASURES

AMPLIFIED = ("utility", "coverage", "gini", "popularity", "homogeneity")
"""Measures of the model's own lists of which `amplified_NAME` is what they exceed the control's by, in the same step and with the same seed: what
learning from clicks on its own lists has made of the model."""
_KEYS = ("lists", "seed", "step")
_VALUES = ("users", "clicks", "epsilon", *MEASURES, *(f"amplified_{name}" for name in AMPLIFIED))

Row = dict[str, Any]


@dataclass(eq=False)
class Results:
    """Grows while loops run. The control's rows of a seed come first."""

    rows: list[Row] = field(default_factory=list)

    def add(self, label: str, seed: int, record: Mapping[str, Any]) -> None:
        """A step's record; the control's of the same seed and step must be there before any other's."""
        row: Row = {"lists": label, "seed": seed, **record}
        beside = row if label == CONTROL else self._control(seed, int(row["step"]))
        for name in AMPLIFIED:
            row[f"amplified_{name}"] = row[f"model_{name}"] - beside[f"model_{name}"]
        self.rows.append(row)

    def labels(self) -> list[str]:
        """Of the loops, in their order."""
        return list(dict.fromkeys(row["lists"] for row in self.rows))

    def steps(self) -> list[int]:
        """From 1."""
        return sorted({row["step"] for row in self.rows})

    def estimate(self, label: str, step: int, name: str) -> Estimate | None:
        """Over the seeds that have got there; None if none has, or without a value."""
        values = [row[name] for row in self.rows if (row["lists"], row["step"]) == (label, step)]
        return Estimate.of([value for value in values if value is not None])

    def seeds(self) -> int:
        """How many there are so far."""
        return len({row["seed"] for row in self.rows})

    def write(self, experiment: str, folder: Path) -> None:
        """Creates or replaces both files. Neither holds times, so that equal calls give equal files."""
        told = {
            "experiment": experiment,
            "confidence": CONFIDENCE,
            "seeds": self.seeds(),
            "measures": MEASURES,
            "steps": [self._told(label, step) for label in self.labels() for step in self.steps()],
        }
        write_comparison(folder, "feedback", (*_KEYS, *_VALUES), self.rows, told)

    def _control(self, seed: int, step: int) -> Row:
        key = (CONTROL, seed, step)
        return next(row for row in self.rows if (row["lists"], row["seed"], row["step"]) == key)

    def _told(self, label: str, step: int) -> Row:
        estimates = {name: self.estimate(label, step, name) for name in _VALUES}
        return {"lists": label, "step": step} | {name: _interval(value) for name, value in estimates.items()}


def _interval(estimate: Estimate | None) -> Sequence[float] | float | None:
    """[mean, low, high]; the mean alone with one seed."""
    if estimate is None:
        return None
    mean, half = estimate.mean, estimate.half
    return round(mean, 6) if half is None else [round(value, 6) for value in (mean, mean - half, mean + half)]
