"""`continual.csv` and `continual.json`: everything that was measured, for other tools."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.intervals import CONFIDENCE, Estimate
from simulation.campaign.periods import MAIN, MEASURES
from simulation.campaign.written import write_comparison
from simulation.continual.reading import LABELS, Measured
from simulation.continual.results import REFERENCE, SLICES, LearnerResult, Results

_COLUMNS = ("method", "seed", "period", "month", "after", "slice", "metric", "value")


def write_results(results: Results, name: str, folder: Path) -> None:
    """Creates or replaces both files. The table has no times, so that equal runs give equal tables."""
    rows: list[tuple[Any, ...]] = []
    baselines: dict[int, Measured] = {}  # of a seed every method has the same
    for result in results.finished:
        for seed, run in result.runs.items():
            rows += _rows(result.learner.label, seed, run.tests, results)
            baselines.setdefault(seed, run)
    for seed, run in baselines.items():
        rows += _rows("popularity", seed, run.popularity, results)
    named = (dict(zip(_COLUMNS, row, strict=True)) for row in rows)
    write_comparison(folder, "continual", _COLUMNS, named, _told(results, name))


def _rows(label: str, seed: int, records: Iterable[Mapping[str, Any]], results: Results) -> Iterator[tuple[Any, ...]]:
    """One row a measurement and measure."""
    for record in records:
        start = results.starts[record["period"]]
        after = record.get("after", record["period"] - 1)  # popularity counts what was trained on
        place = (label, seed, record["period"], start[:7] if start else "", after, record["slice"])
        for metric, value in record.items():
            if metric not in LABELS:
                yield (*place, metric, value)


def _told(results: Results, name: str) -> dict[str, Any]:
    popularity = {measure: _numbers(results.popularity(measure)) for measure in MEASURES} if results.finished else {}
    return {
        "experiment": name,
        "confidence": CONFIDENCE,
        "reference": REFERENCE,
        "periods": [{"period": period, "start": start} for period, start in enumerate(results.starts)],
        "popularity": popularity,
        "methods": [_method(result, results) for result in results.finished],
        "refused": [{"method": learner.label, "reason": reason} for learner, reason in results.refused.items()],
        "open": [
            {"method": cell.point.label, "seed": cell.seed, "reason": reason} for cell, reason in results.open.items()
        ],
        "runs": [_run(result, seed, run) for result in results.finished for seed, run in result.runs.items()],
    }


def _method(result: LearnerResult, results: Results) -> dict[str, Any]:
    of_retrain = {name: results.of_retrain(result, name) for name in ("rounds", "clients", "seconds", "bytes")}
    return {
        "method": result.learner.label,
        **({} if result.learner.privacy is None else {"privacy": dict(result.learner.privacy.table)}),
        "seeds": list(result.runs),
        "measures": {name: _interval(result.estimate(name)) for name in result.values},
        "difference": {name: _interval(estimate) for name, estimate in result.differences.items()},
        "difference_people": {name: _interval(estimate) for name, estimate in result.people.items()},
        "of_retrain": {name: None if ratio is None else round(ratio, 6) for name, ratio in of_retrain.items()},
        "by_period": {
            part: {
                measure: [_interval(estimate) for estimate in result.by_period(measure, part)] for measure in MEASURES
            }
            for part in ("all", *SLICES)
        },
        "matrix": {MAIN: _numbers(result.matrix())},
    }


def _run(result: LearnerResult, seed: int, run: Measured) -> dict[str, Any]:
    rounds, areas = run.speed()
    return {
        "method": result.learner.label,
        "seed": seed,
        "measures": {name: round(values[seed], 6) for name, values in result.values.items() if seed in values},
        "measured_on": run.memory_slice,
        "matrix": {measure: _numbers(run.matrix(measure)) for measure in MEASURES},
        "work": [{"period": period, **vars(work)} for period, work in enumerate(run.work)],
        "speed": {
            "rounds_to_90": _numbers(np.array([np.nan, *rounds])),
            "curve_area": _numbers(np.array([np.nan, *areas])),
        },
    }


def _interval(estimate: Estimate | None) -> Mapping[str, float | None] | None:
    return None if estimate is None else estimate.rounded()


def _numbers(values: NDArray[np.float64]) -> list[Any]:
    """Nested lists of 6 decimals; null for NaN, which JSON does not know."""
    if values.ndim > 1:
        return [_numbers(row) for row in values]
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
