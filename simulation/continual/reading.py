"""What one run over periods measured, read from its directory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.continual.measures import curve_area, rounds_to_gain
from server.measuring import MODEL
from server.run_directory import RunDirectory

LABELS = ("period", "round", "split", "protocol", "slice", "model", "users", "after")
"""Keys of a metric record that are no measures."""


@dataclass(frozen=True)
class PeriodWork:
    """What the rounds of one period took, as rounds.jsonl tells."""

    rounds: int
    clients: int
    """Updates that clients sent and the server took in."""
    bytes_up: int
    bytes_down: int
    seconds: float
    """Wall time of the rounds on the machine that simulated them: of all clients together, and of no device."""
    epsilon: float | None
    """Spent, from the first period to the end of this one, by the device that was asked most often; None without privacy."""


@dataclass(frozen=True)
class Measured:
    """One run. `tests`: the records of the model on tests, all items ranked, in the order of measuring; `popularity`: those of the baseline."""

    periods: int
    tests: tuple[Mapping[str, Any], ...]
    popularity: tuple[Mapping[str, Any], ...]
    curves: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]
    """Of each period: (rounds, the measure that selects) on its validation; empty where there were no rounds."""
    work: tuple[PeriodWork, ...]

    @property
    def memory_slice(self) -> str:
        """On whom the matrix is measured: the panel, or everybody where there is none."""
        return "panel" if any(record["slice"] == "panel" for record in self.tests) else "all"

    def matrix(self, measure: str) -> NDArray[np.float64]:
        """[periods, periods] as in `everbloom.continual.measures`."""
        found = np.full((self.periods, self.periods), np.nan)
        for record in self.tests:
            if record["slice"] == self.memory_slice:
                found[record["after"], record["period"]] = record[measure]
        return found

    def next_period(self, measure: str, part: str = "all") -> NDArray[np.float64]:
        """[periods] the slice `part` of each period's test before the period was learnt; NaN where there is none."""
        rows = [record for record in self.tests if record["after"] == record["period"] - 1]
        return self._by_period(rows, measure, part)

    def baseline(self, measure: str) -> NDArray[np.float64]:
        """[periods] the same of popularity, for everybody."""
        return self._by_period(self.popularity, measure, "all")

    def speed(self) -> tuple[list[float], list[float]]:
        """(rounds to 90% of the period's best gain, area under its normalised curve) of every period after the warm start."""
        return [rounds_to_gain(*curve) for curve in self.curves[1:]], [curve_area(*curve) for curve in self.curves[1:]]

    def _by_period(self, rows: Iterable[Mapping[str, Any]], measure: str, part: str) -> NDArray[np.float64]:
        found = np.full(self.periods, np.nan)
        for record in rows:
            if record["slice"] == part:
                found[record["period"]] = record[measure]
        return found


def read_run(run: RunDirectory, periods: int) -> Measured:
    """A finished run of an experiment with [continual]."""
    select = run.experiment.evaluation.select
    full = [record for record in run.records("metrics") if record["protocol"] == "full"]
    tests = [record for record in full if record["split"] == "test"]
    curves: list[tuple[list[int], list[float]]] = [([], []) for _ in range(periods)]
    for record in full:
        if record["split"] == "validation" and record["slice"] == "all" and record["model"] == MODEL:
            rounds, values = curves[record["period"]]
            rounds.append(record["round"])
            values.append(record[select])
    return Measured(
        periods,
        tuple(record for record in tests if record["model"] == MODEL),
        tuple(record for record in tests if record["model"] == "popularity"),
        tuple((tuple(rounds), tuple(values)) for rounds, values in curves),
        _work(run.records("rounds"), periods),
    )


def _work(records: list[dict[str, Any]], periods: int) -> tuple[PeriodWork, ...]:
    found: list[PeriodWork] = []
    for period in range(periods):
        rows = [record for record in records if record["period"] == period]
        clients, up, down = (sum(row[key] for row in rows) for key in ("clients", "bytes_up", "bytes_down"))
        spent = rows[-1]["epsilon"] if rows else found[-1].epsilon if found else None
        seconds = round(sum(row["seconds"] for row in rows), 4)
        found.append(PeriodWork(len(rows), clients, up, down, seconds, spent))
    return tuple(found)
