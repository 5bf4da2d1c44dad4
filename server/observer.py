"""Who is told how a run goes: a live table, a log, a test."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Observer(Protocol):
    """Everything it is given also stands in the run directory."""

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """After each round: its record, and why clients failed."""
        ...

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """After each measurement: its records."""
        ...


class Silent:
    """Tells nobody."""

    def round_done(self, record: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """Nothing."""

    def measured(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""
