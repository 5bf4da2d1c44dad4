"""A device's ledger on its own disk: append-only JSON lines, flushed before data is read."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from everbloom.errors import BudgetExceeded, PrivacyError
from everbloom.privacy.plan import PrivacyPlan

_COMPOSED = (
    "unit",
    "delta",
    "noise_multiplier",
    "sample_rate",
    "steps_per_round",
    "examples_per_interaction",
    "max_participations",
)
"""What must be equal for rounds to be counted together."""


class FileLedger:
    """One line per reservation and per commit. Only reservations count, so a crash in between never understates what was spent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def reserve(self, plan: PrivacyPlan, period: int, round: int) -> None:
        """Raises `BudgetExceeded` when the plan's rounds are spent, `PrivacyError` when earlier rounds followed another plan."""
        terms = _terms(plan)
        reserved = [entry for entry in self.entries() if entry["status"] == "reserved"]
        if any(entry["plan"] != terms for entry in reserved):
            raise PrivacyError(
                f"{self.path}: refused, this device took part under other privacy terms before, and their costs cannot be added up; "
                "its owner can accept new terms only with a new budget"
            )
        if len(reserved) >= plan.max_participations:
            raise BudgetExceeded(
                f"{self.path}: refused, the budget of {plan.max_participations} rounds (epsilon {plan.epsilon:.3g}) is spent"
            )
        self._append({"status": "reserved", "period": period, "round": round, "plan": terms})

    def commit(self, plan: PrivacyPlan, period: int, round: int) -> None:
        """Records the end of a reserved round."""
        self._append({"status": "committed", "period": period, "round": round})

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first. Raises `PrivacyError` on a damaged ledger: what was spent is then unknown."""
        if not self.path.exists():
            return []
        entries = []
        for number, line in enumerate(self.path.read_bytes().splitlines(), start=1):
            entry = _parse(line)
            if entry is None:
                raise PrivacyError(
                    f"{self.path}:{number}: the ledger is damaged; refused, because what was spent is unknown"
                )
            entries.append(entry)
        return entries

    def _append(self, entry: dict[str, Any]) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (json.dumps(entry) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parse(line: bytes) -> dict[str, Any] | None:
    """An entry, or None if the line is none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    whole = entry.get("status") == "committed" or (entry.get("status") == "reserved" and "plan" in entry)
    return entry if whole else None


def _terms(plan: PrivacyPlan) -> dict[str, Any]:
    whole = asdict(plan)
    return {name: whole[name] for name in _COMPOSED}
