"""`everbloom baselines`: reference recommenders on an experiment's own test."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from everbloom.errors import ConfigError, DataError
from everbloom.evaluation.evaluator import Evaluator
from everbloom.evaluation.past import Past
from everbloom.evaluation.records import Record
from everbloom.evaluation.training_events import trained_period
from everbloom.experiment import load_experiment
from everbloom.methods import BASELINES, Baseline
from everbloom.registry import MethodProblems
from everbloom.study import Study
from server.measuring import evaluator_of
from server.summary import mean_by_protocol
from simulation.campaign.choices import method_table, split_choice
from simulation.campaign.grid import words
from simulation.commands import study_with_progress

_SHOWN = {
    "HR@10": ("full", "hr@10"),
    "NDCG@10": ("full", "ndcg@10"),
    "HR, 99": ("sampled-99", "hr@10"),
    "NDCG, 99": ("sampled-99", "ndcg@10"),
}
"""column -> (protocol, measure)."""


@dataclass(frozen=True)
class Results:
    """label -> protocol -> measure -> mean over the tested periods; the methods; and why others are left out."""

    reached: Mapping[str, Mapping[str, Mapping[str, float]]]
    methods: Mapping[str, Baseline]
    left_out: Sequence[str]


def run_baselines(path: Path, overrides: Iterable[str], only: Iterable[str], console: Console) -> Results:
    """`everbloom baselines`: fits and measures each, and prints a table. Raises `InputError` for one that was asked for and cannot be fitted."""
    given = list(only)
    methods = baselines_of(given)
    study = study_with_progress(load_experiment(path, overrides), console)
    results = measure_baselines(study, methods, demanded=bool(given))
    console.print(baseline_table(results))
    timeline = study.timeline
    tested = [period for period in range(timeline.periods) if timeline.has(period, "test")]
    cases = [len(evaluator_of(study).measured(period, "test", now=period).cases) for period in tested]
    lines = [
        f"{study.experiment.name}: {study.clients:,} users, {len(study.dataset.catalog):,} items, {len(study.dataset.events):,} events; "
        f"{sum(cases):,} test cases in {len(tested)} period{'s' if len(tested) > 1 else ''}. "
        "References that read everybody's events are centralised: no federation has what they have.",
        *(f"left out: {reason}" for reason in results.left_out),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return results


def baselines_of(only: Iterable[str]) -> dict[str, Baseline]:
    """label -> method, of the words given (`ease:l2=200`), or all that are registered. Raises `ConfigError`."""
    names = BASELINES.names()
    found = {}
    for word in words("--only", only) or names:
        name, options = split_choice("--only", word, "baseline", names, "ease:l2=200")
        try:
            found[word] = BASELINES.parse(method_table(name, options))
        except MethodProblems as error:
            raise ConfigError(f"--only {word}: {_told(error.problems)}") from None
    return found


def measure_baselines(study: Study, methods: Mapping[str, Baseline], demanded: bool = False) -> Results:
    """Each on the experiment's test, fitted to what a model could have learnt from before it. One that does not fit the data is left out, or, if
    `demanded`, raises `DataError`."""
    evaluator = evaluator_of(study)
    features = None if study.features is None else study.features.fused()
    left_out = []
    records: list[Record] = []
    for period in range(study.timeline.periods):
        if study.timeline.has(period, "test"):
            past = Past(study.timeline, trained_period(study.timeline, period, "test"), features)
            for label, method in methods.items():
                reason = method.unfit(past)
                if reason is None:
                    records += _measured(evaluator, method, label, past, period)
                elif demanded:
                    raise DataError(reason)
                else:
                    left_out.append(reason)
    reached = {label: mean_by_protocol(records, label) for label in methods}
    return Results({label: found for label, found in reached.items() if found}, methods, list(dict.fromkeys(left_out)))


def baseline_table(results: Results) -> Table:
    """A row per baseline."""
    protocols = {protocol for found in results.reached.values() for protocol in found}
    shown = {column: place for column, place in _SHOWN.items() if place[0] in protocols}
    title = "test, all items ranked" + ("; 99: among stored negatives, @10" if "sampled-99" in protocols else "")
    table = Table(title=title, title_justify="left")
    for name in ("baseline", "reads"):
        table.add_column(name, overflow="fold")
    for column in shown:
        table.add_column(column, justify="right", no_wrap=True)
    for label, found in results.reached.items():
        values = (found[protocol].get(measure) for protocol, measure in shown.values())
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(label, results.methods[label].reads, *cells)
    return table


def _measured(evaluator: Evaluator, method: Baseline, label: str, past: Past, period: int) -> list[Record]:
    return evaluator.measure(method.fit(past), model=label, period=period, round=0, split="test", now=period)


def _told(problems: ValidationError) -> str:
    first: Any = problems.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
