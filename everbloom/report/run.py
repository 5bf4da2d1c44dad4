"""A run for Python: its records as tables, its picture, its page."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from everbloom.errors import InputError
from everbloom.evaluation.user_records import of_test, read_user_records, recorded_periods
from everbloom.experiment import Experiment
from everbloom.report.charts.frame import table
from everbloom.report.charts.lines import line_drawing
from everbloom.report.charts.standalone import Picture, standalone
from everbloom.report.comparing import compare_runs
from everbloom.report.groups import Group, grouped, privacy_words
from everbloom.report.markup import joined, tag
from everbloom.report.records import RunRecords, read_run
from everbloom.report.report import report
from everbloom.report.section import measure_name
from everbloom.report.sections.quality import quality_lines, round_axis


class Run:
    """What `everbloom.run` returns and `everbloom.open_run` opens: the directory `path`, read as it is when it is asked for the first time."""

    def __init__(self, path: Path | str) -> None:
        """Raises `InputError` if there is no run."""
        self.path = Path(path)
        self.records: RunRecords = read_run(self.path)

    @property
    def experiment(self) -> Experiment:
        """As it was resolved."""
        return self.records.experiment

    @property
    def summary(self) -> Mapping[str, Any]:
        """`summary.json`. Raises `InputError` if the run is not finished."""
        if self.records.summary is None:
            raise InputError(
                f"{self.path}: is not finished, so there is no summary; continue it with: everbloom run --resume {self.path}"
            )
        return self.records.summary

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row a round: period, round, clients, failed, seconds, bytes_up, bytes_down, epsilon."""
        return pd.DataFrame(list(self.records.rounds))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row a measurement: period, round, split, protocol, slice, model, users, and the measures."""
        return pd.DataFrame(list(self.records.metrics))

    @cached_property
    def users(self) -> pd.DataFrame:
        """One row a user, tested period and model: user, period, model, history (events known), and the measures that are kept of users.

        Raises `DataError` if they are damaged.
        """
        frames = []
        for model in ("federated", *self.records.baselines):
            for period in recorded_periods(self.path, model):
                found = read_user_records(self.path, of_test(period, model))
                columns = {"user": found.user, "period": period, "model": model, "history": found.history}
                frames.append(pd.DataFrame({**columns, **found.values}))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def plot(self, measure: str | None = None, *others: "Run") -> Picture:
        """Quality on validation by round, with baselines, and other runs beside it. `measure`: default, the one that selects.

        Raises `InputError` if it was not measured.
        """
        chosen = measure or self.experiment.evaluation.select
        groups = grouped([self.records, *(other.records for other in others)])
        lines = quality_lines(groups, chosen)
        if not lines:
            raise InputError(
                f"{self.path}: {chosen} was not measured on validation; measured: {', '.join(self.records.measures)}"
            )
        name = measure_name(chosen)
        keys = [line.key for line in lines]
        return standalone(f"{name} on validation, by round", keys, line_drawing(lines, round_axis(self.records), name))

    def compare(self, *others: "Run") -> pd.DataFrame:
        """Paired tests over users of the others against this run; of this one against popularity if there are none. As `everbloom compare`.

        Raises `InputError` for runs that cannot be compared.
        """
        found = compare_runs([self.records, *(other.records for other in others)])
        rows = [
            {
                "model": one.contender.label,
                "reference": found.reference.label,
                "measure": one.measure,
                **asdict(one.found),
                "corrected": one.corrected,
            }
            for one in found.against
        ]
        return pd.DataFrame(rows)

    def report(self, path: Path | str | None = None) -> Path:
        """Writes the page of `everbloom report`, without examples; default: `report.html` in the run's directory."""
        page = self.path / "report.html" if path is None else Path(path)
        page.write_text(report([self.records]), encoding="utf-8")
        return page

    def __repr__(self) -> str:
        state = f"{len(self.records.rounds)} rounds" + ("" if self.records.summary else ", not finished")
        return f"Run({str(self.path)!r}: {self.experiment.name}, {privacy_words(self.experiment)}, {state})"

    def _repr_html_(self) -> str:
        """What was reached beside the baselines, and what was spent."""
        group = Group("", [self.records])
        measures = self.records.measures
        rows = [
            [
                model,
                *(
                    "–" if (value := group.reached(measure, model=model)) is None else f"{value.mean:.4f}"
                    for measure in measures
                ),
            ]
            for model in ("federated", *self.records.baselines)
        ]
        claim = self.records.summary["privacy"]["statement"] if self.records.summary else "not finished"
        return joined(tag("b", repr(self)), table(["test", *map(measure_name, measures)], rows), tag("p", str(claim)))


def open_run(path: Path | str) -> Run:
    """A run's directory. Raises `InputError` if there is none."""
    return Run(path)
