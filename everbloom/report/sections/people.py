"""Who benefits: what each user gets, beside what popularity gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.evaluation.records import FEDERATED
from everbloom.evaluation.user_records import of_test, read_user_records, recorded_periods
from everbloom.report.charts.bars import bar_chart
from everbloom.report.charts.frame import Key, table
from everbloom.report.charts.lines import Axis, Line, line_chart
from everbloom.report.groups import Group
from everbloom.report.markup import Markup, joined, tag
from everbloom.report.records import RunRecords
from everbloom.report.section import BASELINES, Section, measure_name

_BASELINE = "popularity"
_PARTS = 10
_HISTORIES = (
    (0, 0, "none"),
    (1, 5, "1 to 5"),
    (6, 10, "6 to 10"),
    (11, 20, "11 to 20"),
    (21, 50, "21 to 50"),
    (51, 100, "51 to 100"),
    (101, 2**31, "over 100"),
)


@dataclass(frozen=True, eq=False)
class Cases:
    """[cases] of all tested periods, one after the other; `ours` and `theirs` by measure."""

    history: NDArray[np.int32]
    ours: dict[str, NDArray[np.float64]]
    theirs: dict[str, NDArray[np.float64]]


def people(groups: Sequence[Group]) -> Section | None:
    """None where nothing was tested yet; where records of users are missing, the section says so."""
    if not any(group.first.tests() for group in groups):
        return None
    known = [(group, cases) for group in groups if (cases := user_cases(group.first)) is not None]
    if not known:
        told = "This run has no records of users (per-user/test-*.npz): it is of an older version, or its directory was copied without them."
        return Section("people", "Who benefits", tag("p", told, class_="missing"))
    measure = next(name for name in known[0][1].ours if name.startswith("ndcg@"))
    parts = [
        _summary(known, measure),
        _reaching(known, measure, groups),
        _deciles(known, measure, groups),
        _by_history(known, measure, groups),
    ]
    told = (
        f"Every user counts once a tested period. A tenth is a tenth of the users, ordered by their own {measure_name(measure)}. "
        "Of several seeds, the first is shown."
    )
    return Section("people", "Who benefits", joined(tag("p", told, class_="lead"), parts))


def user_cases(run: RunRecords) -> Cases | None:
    """What a run's tests gave each user; None where there are no such records."""
    periods = [
        period for period in recorded_periods(run.path, FEDERATED) if period in recorded_periods(run.path, _BASELINE)
    ]
    if not periods:
        return None
    pairs = [
        (
            read_user_records(run.path, of_test(period, FEDERATED)),
            read_user_records(run.path, of_test(period, _BASELINE)),
        )
        for period in periods
    ]
    measures = list(pairs[0][0].values)

    def joint(side: int, measure: str) -> NDArray[np.float64]:
        return np.concatenate([pair[side].values[measure] for pair in pairs]).astype(np.float64)

    return Cases(
        np.concatenate([ours.history for ours, _ in pairs]),
        {measure: joint(0, measure) for measure in measures},
        {measure: joint(1, measure) for measure in measures},
    )


def _summary(known: Sequence[tuple[Group, Cases]], measure: str) -> Markup:
    head = ["Model", "mean", "worst tenth", "best tenth", "nothing found", "better than popularity", "as good", "worse"]
    rows = []
    for group, cases in known:
        ours, theirs = cases.ours[measure], cases.theirs[measure]
        shares = [np.mean(ours > theirs), np.mean(ours == theirs), np.mean(ours < theirs)]
        rows.append([group.label, *_spread(ours), *(f"{share:.1%}" for share in shares)])
    rows.append([_BASELINE, *_spread(known[0][1].theirs[measure]), "", "", ""])
    return table(head, rows, caption=f"{measure_name(measure)} of users")


def _spread(values: NDArray[np.float64]) -> list[str]:
    tenths = _tenths(values)
    return [f"{values.mean():.4f}", f"{tenths[0]:.4f}", f"{tenths[-1]:.4f}", f"{np.mean(values == 0):.1%}"]


def _tenths(values: NDArray[np.float64]) -> list[float]:
    """The mean of each tenth of the users, worst first."""
    return [float(part.mean()) if len(part) else 0.0 for part in np.array_split(np.sort(values), _PARTS)]


def _reaching(known: Sequence[tuple[Group, Cases]], measure: str, groups: Sequence[Group]) -> Markup:
    """How many get at least so much: all who find anything on the left, who finds the best first on the right."""
    lines = [
        Line(_key(group, groups).label, _key(group, groups).colour, _shares(cases.ours[measure]))
        for group, cases in known
    ]
    lines.append(Line(_BASELINE, BASELINES, _shares(known[0][1].theirs[measure])))
    name = measure_name(measure)
    return line_chart(f"Users who get at least so much {name}", lines, Axis(name, whole=False), "share of the users")


def _shares(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(at, float(np.mean(values >= at - 1e-6))) for at in np.round(np.arange(1, 21) * 0.05, 2).tolist()]


def _deciles(known: Sequence[tuple[Group, Cases]], measure: str, groups: Sequence[Group]) -> Markup | None:
    """None where most find nothing: the picture of shares says it better."""
    if all(np.median(cases.ours[measure]) == 0 for _, cases in known):
        return None
    series: list[tuple[Key, Sequence[float | None]]] = [
        (_key(group, groups), _tenths(cases.ours[measure])) for group, cases in known[:6]
    ]
    series.append((Key(_BASELINE, BASELINES), _tenths(known[0][1].theirs[measure])))
    names = [
        "worst tenth",
        *(f"{place}th" if place > 3 else ("2nd", "3rd")[place - 2] for place in range(2, _PARTS)),
        "best tenth",
    ]
    return bar_chart(
        f"{measure_name(measure)} of each tenth of the users",
        names,
        series,
        "users, by what they get",
        measure_name(measure),
    )


def _by_history(known: Sequence[tuple[Group, Cases]], measure: str, groups: Sequence[Group]) -> Markup:
    """Means by how much is known of a user, with what chance over users leaves open: mean +- 1.96 s / sqrt(n)."""
    history = known[0][1].history
    bins = [(low, high, name) for low, high, name in _HISTORIES if ((history >= low) & (history <= high)).any()]
    series, ends = [], []
    columns = [(_key(group, groups), cases.history, cases.ours[measure]) for group, cases in known[:6]]
    columns.append((Key(_BASELINE, BASELINES), history, known[0][1].theirs[measure]))
    for key, length, values in columns:
        parts = [values[(length >= low) & (length <= high)] for low, high, _ in bins]
        series.append((key, [float(part.mean()) if len(part) else None for part in parts]))
        ends.append([_interval(part) for part in parts])
    names = [f"{name}\n({int(((history >= low) & (history <= high)).sum()):,})" for low, high, name in bins]
    note = "In brackets: how many users. Whiskers: 95% intervals over users."
    title = f"{measure_name(measure)} by events known of the user"
    return bar_chart(title, names, series, "events known", measure_name(measure), ends, note)


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return max(0.0, mean - half), min(1.0, mean + half)


def _key(group: Group, groups: Sequence[Group]) -> Key:
    return Key(group.label if len(groups) > 1 else FEDERATED, groups.index(group))
