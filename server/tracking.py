"""A run's records on their way to trackers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from everbloom.evaluation.records import LABELS
from everbloom.experiment import Experiment
from everbloom.tracking.tracking import Tracking
from server.observer import Observer
from server.run_directory import RunDirectory

_PLACES = {"period", "round"}


class Tracked:
    """An `Observer` that passes everything on, and logs the numbers with the rounds done so far."""

    def __init__(self, observer: Observer, trackings: Sequence[Tracking], step: int) -> None:
        self.observer = observer
        self.trackings = trackings
        self.step = step

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """`round/KEY` for each number of the record."""
        self.step += 1
        self._log({f"round/{key}": value for key, value in record.items() if key not in _PLACES and value is not None})
        self.observer.round_done(record, reasons)

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """`SPLIT/PROTOCOL/SLICE/MODEL/MEASURE`; a measurement of a past period has `-period-P` behind its split."""
        for record in records:
            back = f"-period-{record['period']}" if "after" in record and record["after"] >= record["period"] else ""
            place = f"{record['split']}{back}/{record['protocol']}/{record['slice']}/{record['model']}"
            self._log({f"{place}/{key}": value for key, value in record.items() if key not in LABELS})
        self.observer.measured(records)

    def _log(self, values: Mapping[str, float]) -> None:
        for tracking in self.trackings:
            tracking.log(values, self.step)


def check_tracking(experiment: Experiment) -> None:
    """Raises `ConfigError`, before any work, if a tracker's package is not installed."""
    for tracker in experiment.tracking.trackers:
        tracker.check()


@contextmanager
def tracked(
    experiment: Experiment, run: RunDirectory, observer: Observer
) -> Iterator[tuple[Observer, Callable[[Mapping[str, Any]], None]]]:
    """(the observer of a run that begins or goes on, what to call with its summary). Without that call the run counts as stopped before its end."""
    trackers = experiment.tracking.trackers
    if not trackers:
        yield observer, lambda summary: None
        return
    found: list[Mapping[str, Any]] = []
    step = run.rounds_done()
    with ExitStack() as stack:
        trackings = []
        for tracker in trackers:
            tracking = tracker.open(run.path, experiment, step)
            stack.callback(_close, tracking, found)
            trackings.append(tracking)
        yield Tracked(observer, trackings, step), found.append


def _close(tracking: Tracking, found: Sequence[Mapping[str, Any]]) -> None:
    tracking.close(found[0] if found else None)
