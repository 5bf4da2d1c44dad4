"""Runs against each other, user by user."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everbloom.errors import InputError
from everbloom.evaluation.paired import Paired, Values, compare_paired, holm
from everbloom.evaluation.records import FEDERATED
from everbloom.evaluation.user_records import UserRecords, of_test, read_user_records, recorded_periods
from everbloom.report.groups import Group, grouped
from everbloom.report.records import RunRecords
from everbloom.seeding import numpy_generator

BASELINE = "popularity"


@dataclass(frozen=True, eq=False)
class Contender:
    """`values` by measure [users, periods]: the mean over its runs, NaN where a user was not tested."""

    label: str
    runs: int
    values: dict[str, Values]

    def mean(self, measure: str) -> float:
        """Over users, then over periods: the figure of the summary."""
        return float(np.nanmean(self.values[measure], axis=0).mean())


@dataclass(frozen=True)
class Against:
    """One contender against the reference in one measure; `corrected` is the permutation test's p-value after Holm's correction."""

    contender: Contender
    measure: str
    found: Paired
    corrected: float


@dataclass(frozen=True)
class Comparison:
    """Everything that the table shows."""

    reference: Contender
    measures: Sequence[str]
    against: Sequence[Against]


def compare_runs(runs: Sequence[RunRecords]) -> Comparison:
    """Each setting against the first; seeds of one setting are averaged user by user. Runs of one setting alone are compared one by one, and one run
    with popularity. Raises `InputError` for runs that cannot be compared.
    """
    for run in runs:
        _check_same(runs[0], run)
    groups = grouped(runs)
    if len(groups) == 1 and len(runs) > 1:
        groups = [Group(run.path.name, [run]) for run in runs]
    contenders = [_contender(group.label, group.runs, FEDERATED, runs[0]) for group in groups]
    if len(contenders) == 1:
        contenders.insert(0, _contender(BASELINE, runs[:1], BASELINE, runs[0]))
    reference, *others = contenders
    measures = [name for name in reference.values if all(name in other.values for other in others)]
    if not measures:
        raise InputError(
            f"{runs[0].path}: has no measure in common with the others; set evaluation.k alike and run them again"
        )
    against = [found for measure in measures for found in _against(reference, others, measure)]
    return Comparison(reference, measures, against)


def _against(reference: Contender, others: Sequence[Contender], measure: str) -> list[Against]:
    rng = numpy_generator(0, "compare")
    found = [compare_paired(other.values[measure], reference.values[measure], rng) for other in others]
    corrected = holm([paired.permutation for paired in found])
    return [Against(other, measure, paired, p) for other, paired, p in zip(others, found, corrected, strict=True)]


def _check_same(first: RunRecords, run: RunRecords) -> None:
    """Raises `InputError` unless both were measured on the same data by the same protocol."""
    if run.summary is None:
        raise InputError(f"{run.path}: is not finished; continue it with: everbloom run --resume {run.path}")
    if "data" not in run.summary:
        raise InputError(f"{run.path}: is of an older version, which did not record its data; run the experiment again")
    there, here = first.experiment, run.experiment
    differing = [
        name
        for name, one, other in (
            ("the data", (first.summary or {}).get("data"), run.summary["data"]),
            ("data.positives", there.data.positives, here.data.positives),
            ("data.min_value", there.data.min_value, here.data.min_value),
            ("[protocol]", there.protocol, here.protocol),
        )
        if one != other
    ]
    if differing:
        raise InputError(
            f"{run.path}: cannot be compared with {first.path}: {' and '.join(differing)} differ; compare runs of the same"
        )


def _contender(label: str, runs: Sequence[RunRecords], model: str, first: RunRecords) -> Contender:
    periods, users = _tested(first)
    found: dict[str, list[Values]] = {}
    for run in runs:
        records = [read_user_records(run.path, of_test(period, model)) for period in _periods(run, first, periods)]
        for ours, theirs in zip(records, _reference_records(first, periods), strict=True):
            if not np.array_equal(ours.user, theirs.user):
                raise InputError(
                    f"{run.path}: cannot be compared with {first.path}: other users were tested; use the same evaluation.max_test_users and "
                    "[continual] panel and deletion_rate, and where these are set the same seed"
                )
        for measure in records[0].values:
            values = np.full((len(users), len(periods)), np.nan)
            for place, record in enumerate(records):
                values[np.searchsorted(users, record.user), place] = record.values[measure]
            found.setdefault(measure, []).append(values)
    return Contender(
        label, len(runs), {name: np.mean(values, axis=0) for name, values in found.items() if len(values) == len(runs)}
    )


def _tested(run: RunRecords) -> tuple[list[int], np.ndarray[tuple[int], np.dtype[np.int32]]]:
    """(periods, all users that were tested in any). Raises `InputError` if there are none."""
    periods = recorded_periods(run.path, FEDERATED)
    if not periods:
        raise InputError(
            f"{run.path}: has no records of users (per-user/); it is of an older version: run the experiment again"
        )
    return periods, np.unique(np.concatenate([record.user for record in _reference_records(run, periods)]))


def _reference_records(run: RunRecords, periods: Sequence[int]) -> list[UserRecords]:
    return [read_user_records(run.path, of_test(period, FEDERATED)) for period in periods]


def _periods(run: RunRecords, first: RunRecords, periods: list[int]) -> list[int]:
    own = recorded_periods(run.path, FEDERATED)
    if own != periods:
        raise InputError(f"{run.path}: cannot be compared with {first.path}: tested in periods {own}, not {periods}")
    return periods
