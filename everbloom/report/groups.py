"""Runs of one experiment with different seeds belong together; what else differs between runs names them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from everbloom.experiment import Experiment
from everbloom.intervals import Estimate
from everbloom.report.records import RunRecords

_SAME = {"seed", "name", "runtime", "tracking"}
"""What may differ within a group: none of it makes another method."""
_LONG = 70


@dataclass(frozen=True, eq=False)
class Group:
    """At least one run. `label` tells it from the other groups."""

    label: str
    runs: Sequence[RunRecords]

    @property
    def first(self) -> RunRecords:
        """Who stands for the group."""
        return self.runs[0]

    def reached(self, measure: str, **where: str) -> Estimate | None:
        """Mean and interval over seeds of `RunRecords.reached`."""
        values = [value for run in self.runs if (value := run.reached(measure, **where)) is not None]
        return Estimate.of(values)


def grouped(runs: Sequence[RunRecords]) -> list[Group]:
    """In the order of the runs."""
    flat = [_flat(_tables(run.experiment)) for run in runs]
    members: dict[str, list[int]] = {}
    for place, table in enumerate(flat):
        members.setdefault(repr(sorted(table.items())), []).append(place)
    firsts = [places[0] for places in members.values()]
    labels = _labels([runs[place] for place in firsts], [flat[place] for place in firsts])
    return [
        Group(label, [runs[place] for place in places]) for label, places in zip(labels, members.values(), strict=True)
    ]


def privacy_words(experiment: Experiment) -> str:
    """The claim in a few words: user, central, epsilon 8."""
    privacy = experiment.privacy
    if privacy.unit == "none" or privacy.mechanism is None:
        return "no privacy"
    size = f"epsilon {privacy.epsilon:g}" if privacy.epsilon is not None else f"noise {privacy.noise_multiplier:g}"
    return f"{privacy.unit}, {privacy.mechanism.name}, {size}"


def _labels(runs: Sequence[RunRecords], flat: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(runs) == 1:
        return [runs[0].experiment.name]
    keys = list(dict.fromkeys(key for table in flat for key in table))
    differing = [key for key in keys if len({repr(table.get(key)) for table in flat}) > 1]
    private = any(key.startswith("privacy.") for key in differing)
    others = [key for key in differing if not key.startswith("privacy.")]
    labels = [
        "; ".join(
            [privacy_words(run.experiment)] * private
            + [f"{_short(key, others)} {table.get(key, 'none')}" for key in others]
        )
        for run, table in zip(runs, flat, strict=True)
    ]
    if len(set(labels)) < len(labels) or max(map(len, labels)) > _LONG:
        labels = [run.path.name for run in runs]
    if len(set(labels)) < len(labels):
        labels = [str(run.path) for run in runs]
    return labels


def _short(key: str, keys: Sequence[str]) -> str:
    """The last words of a key, as few as tell it from the others."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if sum(other == end or other.endswith(f".{end}") for other in keys) == 1 and end != "name":
            return end
    return key


def _tables(experiment: Experiment) -> dict[str, Any]:
    return {
        key: value for key, value in experiment.model_dump(mode="json", exclude_none=True).items() if key not in _SAME
    }


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return flat
