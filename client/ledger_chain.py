"""A ledger's entries: each is a line of JSON and a hash over the hash before it, so that none can change, go or come in between unnoticed.

The chain has no key. It finds damage, a restored page, a row that somebody edited; it does not stop the device's owner, whom the ledger protects,
from writing a whole new one.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from everbloom.errors import PrivacyError
from everbloom.privacy.budget import Budget, Cost

Kind = Literal["opened", "budget", "reserved", "committed"]

_FIELDS: dict[str, set[str]] = {
    "opened": {"ledger", "period_share"},
    "budget": {"budget", "origin"},
    "reserved": {"period", "round", "cost", "mechanism", "policy"},
    "committed": {"period", "round", "reservation"},
}
"""What an entry of each kind says beside its sequence, kind and time."""

_OPTIONAL: dict[str, set[str]] = {"reserved": {"message"}}
"""What it may say too: the message that asked for the round, where messages have numbers."""


@dataclass(frozen=True)
class Entry:
    """One row as it is stored. `body` is canonical JSON; `hash` is SHA-256 in hexadecimal."""

    sequence: int
    body: str
    hash: str

    @classmethod
    def after(cls, last: "Entry | None", kind: Kind, **fields: Any) -> Self:
        """The next entry of a chain. Time is in seconds since 1970, by the device's own clock: for people, nothing depends on it."""
        assert _FIELDS[kind] <= set(fields) <= _FIELDS[kind] | _OPTIONAL.get(kind, set())
        sequence = 1 if last is None else last.sequence + 1
        body = json.dumps(
            {"sequence": sequence, "kind": kind, "time": int(time.time()), **fields},
            sort_keys=True, separators=(",", ":"), allow_nan=False,
        )  # fmt: skip
        return cls(sequence, body, chained(last, body))


def chained(last: Entry | None, body: str) -> str:
    """SHA-256 over the hash before (64 zeros for the first), a newline and the body."""
    previous = "0" * 64 if last is None else last.hash
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


@dataclass(frozen=True)
class Reservation:
    """One charge. It counts from the moment it is on disk, whether or not the round was finished."""

    sequence: int
    period: int
    round: int
    cost: Cost
    policy: str
    message: str | None = None


@dataclass(frozen=True)
class Account:
    """What a ledger says, once its chain holds. `budget` is None until one was set."""

    ledger: str
    period_share: float | None
    budget: Budget | None
    reservations: tuple[Reservation, ...]
    committed: frozenset[int]
    """Sequence numbers of the reservations whose round was finished."""
    last: Entry

    @classmethod
    def read(cls, entries: Sequence[Entry]) -> Self:
        """Checks every hash and every entry's form. Raises `PrivacyError` that names the first entry which does not hold."""
        try:
            return cls._of(list(_checked(entries)), entries)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise PrivacyError("an entry is none of this version of everbloom") from None

    @classmethod
    def _of(cls, tables: list[dict[str, Any]], entries: Sequence[Entry]) -> Self:
        if not tables or tables[0]["kind"] != "opened":
            raise PrivacyError("entry 1 is missing")
        budgets = [table["budget"] for table in tables if table["kind"] == "budget"]
        opened = [table for table in tables if table["kind"] == "opened"]
        if len(opened) > 1 or len(budgets) > 1:
            raise PrivacyError("it was opened, or given a budget, twice")
        reserved = tuple(
            Reservation(
                table["sequence"],
                table["period"],
                table["round"],
                Cost.from_dict(table["cost"]),
                table["policy"],
                table.get("message"),
            )
            for table in tables
            if table["kind"] == "reserved"
        )
        return cls(
            ledger=opened[0]["ledger"],
            period_share=opened[0]["period_share"],
            budget=Budget.from_dict(budgets[0]) if budgets else None,
            reservations=reserved,
            committed=frozenset(table["reservation"] for table in tables if table["kind"] == "committed"),
            last=entries[-1],
        )

    def costs(self, period: int | None = None) -> list[Cost]:
        """What was charged so far, in one period or in all."""
        return [each.cost for each in self.reservations if period is None or each.period == period]

    def open_reservation(self, period: int, round: int) -> Reservation | None:
        """The latest reservation of this round that was not committed."""
        found = [each for each in self.reservations if (each.period, each.round) == (period, round)]
        return next((each for each in reversed(found) if each.sequence not in self.committed), None)

    def of_message(self, message: str) -> Reservation | None:
        """The reservation of the round that this message asked for."""
        return next((each for each in self.reservations if each.message == message), None)


def _checked(entries: Iterable[Entry]) -> Iterable[dict[str, Any]]:
    """The entries' tables. Raises `PrivacyError` at the first that breaks the chain."""
    last = None
    for place, entry in enumerate(entries, start=1):
        if entry.sequence != place:
            raise PrivacyError(f"entry {place} is missing")
        if entry.hash != chained(last, entry.body):
            raise PrivacyError(f"entry {place} was changed, or the one before it")
        table = json.loads(entry.body)
        kind = table.get("kind")
        named = _FIELDS.get(kind, set()) | {"sequence", "kind", "time"}
        if table["sequence"] != place or not named <= set(table) <= named | _OPTIONAL.get(kind, set()):
            raise PrivacyError(f"entry {place} is none of this version of everbloom")
        last = entry
        yield table
