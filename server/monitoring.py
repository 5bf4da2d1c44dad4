"""How a deployed server is watched: lines of JSON in Flower's log, and a text file of Prometheus metrics that is replaced after every round.

The file is what Prometheus' node exporter collects (`--collector.textfile.directory`): no port is opened, and nothing has to be asked.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.distribution import Delivered

_log = logging.getLogger("flwr")

_COUNTED = {
    "clients": ("everbloom_updates_total", "Updates that devices sent."),
    "failed": ("everbloom_failures_total", "Devices that were asked and did not answer, refused or failed."),
    "unneeded": ("everbloom_unneeded_total", "Devices that were asked beyond the cohort and not waited for."),
    "bytes_up": ("everbloom_bytes_up_total", "Bytes of updates."),
    "bytes_down": ("everbloom_bytes_down_total", "Bytes of models."),
}
_SHOWN = {
    "period": ("everbloom_period", "Current period."),
    "round": ("everbloom_round", "Last round of the period."),
    "seconds": ("everbloom_round_seconds", "Length of the last round."),
    "epsilon": ("everbloom_epsilon", "Spent by the device that was asked most often."),
    "devices_left": ("everbloom_devices_left", "Devices with some budget left, as far as the server knows."),
}
_LABELS = ("period", "split", "protocol", "slice", "model")


@dataclass
class Monitor:
    """An `Observer`. `path`: the metrics' file, or None. `log`: a file that the lines go to as well, with the time."""

    name: str
    path: Path | None = None
    log: Path | None = None
    devices: int = 0
    """Of the roster."""
    rounds: int = 0
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0.0))
    latest: dict[str, float] = field(default_factory=dict)
    quality: dict[tuple[str, ...], float] = field(default_factory=dict)

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """One line a round, one for each different failure."""
        self.tell("round", **record)
        for reason in dict.fromkeys(reasons):
            self.tell("failure", warning=True, reason=reason, devices=reasons.count(reason))
        self.rounds += 1
        for key in _COUNTED:
            self.totals[key] += record.get(key) or 0
        self.latest = {key: record[key] for key in _SHOWN if record.get(key) is not None}
        self.write()

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """The whole population's line; all measures over all users as metrics."""
        self.tell("measured", **records[0])
        for record in records:
            if record["slice"] != "all":
                continue
            labels = tuple(str(record[name]) for name in _LABELS)
            for measure, value in record.items():
                if "@" in measure and isinstance(value, float):
                    self.quality[(*labels, measure)] = value
        self.write()

    def delivered(self, what: str, delivered: Delivered) -> None:
        """What became of a distribution."""
        self.tell("delivered", what=what, devices=delivered.devices, failed=len(delivered.failures))
        for reason, count in Counter(delivered.failures.values()).items():
            self.tell("failure", warning=True, reason=reason, devices=count)

    def tell(self, event: str, *, warning: bool = False, **fields: Any) -> None:
        """A line of JSON."""
        told = {"event": event, "experiment": self.name, **fields}
        _log.log(logging.WARNING if warning else logging.INFO, "%s", json.dumps(told, ensure_ascii=False, default=str))
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as stream:
                told = {"time": round(time.time(), 3), **told}
                stream.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")

    def write(self) -> None:
        """Replaces the file, so that a reader never sees half of it."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.write_text(self.text(), encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(self.path)

    def text(self) -> str:
        """In Prometheus' text format."""
        experiment = f'experiment="{_escaped(self.name)}"'
        lines: list[str] = []

        def add(name: str, kind: str, told: str, values: Mapping[str, float]) -> None:
            lines.extend([f"# HELP {name} {told}", f"# TYPE {name} {kind}"])
            lines.extend(f"{name}{{{labels}}} {value:.10g}" for labels, value in values.items())

        add("everbloom_devices", "gauge", "Devices that the run knows.", {experiment: self.devices})
        add("everbloom_rounds_total", "counter", "Rounds of this process.", {experiment: self.rounds})
        for key, (name, told) in _COUNTED.items():
            add(name, "counter", told, {experiment: self.totals[key]})
        for key, (name, told) in _SHOWN.items():
            if key in self.latest:
                add(name, "gauge", told, {experiment: self.latest[key]})
        add("everbloom_written_seconds", "gauge", "When this was written, since 1970.", {experiment: time.time()})
        if self.quality:
            names = (*_LABELS, "measure")
            measured = {
                ",".join(
                    [experiment, *(f'{name}="{_escaped(value)}"' for name, value in zip(names, labels, strict=True))]
                ): value
                for labels, value in self.quality.items()
            }
            add("everbloom_quality", "gauge", "Central evaluation over all users.", measured)
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
