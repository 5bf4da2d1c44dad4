"""A device's ledger on its own disk: what it may spend, what it has spent, and whether it may take part once more.

Reserve before any data is read, train, commit. Only reservations count, so a crash anywhere in between never understates what was released. A round
that is asked for twice is paid twice, since each answer has fresh noise; unless messages have ids and nothing was answered yet (`reserve_message`).
"""

import hashlib
import json
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from client.ledger_chain import Account, Entry, Reservation
from client.ledger_file import append, create_file, transaction
from everbloom.errors import BudgetExceeded, PrivacyError
from everbloom.privacy.budget import ROUNDING, Budget, Cost

if TYPE_CHECKING:  # what a ledger says can be read without torch
    from everbloom.privacy.plan import PrivacyPlan


@dataclass(frozen=True)
class SqliteLedger:
    """`ledger` is the identity that the file must have; None: whichever is there.

    Formal guarantee: all that is released after a `reserve` that returned is within the budget's (epsilon, delta) together, whatever terms servers
    send and however these depend on earlier answers, since `Budget` is a privacy filter. The budget is the owner's, given to `create`, or else that
    of the first plan which is reserved, kept from then on ("trust on first use"). Plans with other noise are charged to it; another unit,
    relation or delta is refused.
    """

    path: Path
    ledger: str | None = None

    @classmethod
    def create(cls, path: Path, budget: Budget | None = None, period_share: float | None = None) -> Self:
        """A new ledger. `period_share`: the share of the budget that the rounds of any one period may spend, above 0 and up to 1.

        Raises `PrivacyError` if there is a ledger already: none is ever reset.
        """
        if period_share is not None and not 0 < period_share <= 1:
            raise PrivacyError(f"period_share = {period_share!r}: expected above 0 and at most 1")
        identity = uuid.uuid4().hex
        entries = [Entry.after(None, "opened", ledger=identity, period_share=period_share)]
        if budget is not None:
            entries.append(Entry.after(entries[0], "budget", budget=budget.to_dict(), origin="owner"))
        create_file(path, entries)
        return cls(path, identity)

    def reserve(self, plan: "PrivacyPlan", period: int, round: int) -> None:
        """Charges one participation; on disk when it returns.

        Raises `BudgetExceeded` when the budget does not allow it, `PrivacyError` when the plan's cost cannot be added to it or the ledger is missing
        or damaged; nothing is written then.
        """
        self._reserve(plan, period, round, None, None)

    def reserve_message(self, plan: "PrivacyPlan", period: int, round: int, message: str, most_epsilon: float) -> None:
        """The same for the round that the message of this id asks for, under an owner who allows `most_epsilon` in all.

        A message whose round is reserved under the same plan and not committed is not charged again: nothing was released for it, since a caller
        commits before it answers. Raises as `reserve`; `PrivacyError` too if the message's round is committed, or was another.
        """
        self._reserve(plan, period, round, message, most_epsilon)

    def commit_message(self, message: str) -> None:
        """Records that the answer to this message is about to be released. A message that reserved nothing, or is committed, changes nothing."""
        with transaction(self.path, write=True) as (connection, account):
            self._check_identity(account)
            found = account.of_message(message)
            if found is not None and found.sequence not in account.committed:
                place = {"period": found.period, "round": found.round}
                _add(connection, Entry.after(account.last, "committed", **place, reservation=found.sequence))

    def _reserve(
        self, plan: "PrivacyPlan", period: int, round: int, message: str | None, most_epsilon: float | None
    ) -> None:
        with transaction(self.path, write=True) as (connection, account):
            self._check_identity(account)
            cost = plan.cost()
            policy = _policy(plan, cost)
            if message is not None and (found := account.of_message(message)) is not None:
                self._check_resumed(account, found, (period, round, policy))
                return
            budget = account.budget or _first_budget(plan, cost, most_epsilon)
            self._check_terms(budget, plan, cost)
            if (reason := self._over(account, budget, cost, period, most_epsilon)) is not None:
                raise BudgetExceeded(reason)
            last = account.last
            if account.budget is None:
                origin = "first use" if most_epsilon is None else "owner"
                last = _add(connection, Entry.after(last, "budget", budget=budget.to_dict(), origin=origin))
            named = {} if message is None else {"message": message}
            reserved = Entry.after(
                last, "reserved", period=period, round=round, cost=cost.to_dict(), mechanism=plan.mechanism, policy=policy, **named
            )  # fmt: skip
            _add(connection, reserved)

    def _check_resumed(self, account: Account, found: Reservation, asked: tuple[int, int, str]) -> None:
        """Raises `PrivacyError` unless a reserved round may be trained again at no further charge."""
        if found.sequence in account.committed:
            raise PrivacyError(
                f"{self.path}: refused, the message's round is finished and its answer is no longer kept; ask with a new message"
            )
        if (found.period, found.round, found.policy) != asked:
            raise PrivacyError(
                f"{self.path}: refused, a message of this id asked for another round or under other terms"
            )

    def commit(self, plan: "PrivacyPlan", period: int, round: int) -> None:
        """Records the end of a reserved round; it changes nothing that counts. Raises `PrivacyError` if the round is not reserved."""
        with transaction(self.path, write=True) as (connection, account):
            self._check_identity(account)
            reservation = account.open_reservation(period, round)
            if reservation is None:
                raise PrivacyError(
                    f"{self.path}: period {period}, round {round} was not reserved; it cannot be committed"
                )
            _add(
                connection,
                Entry.after(account.last, "committed", period=period, round=round, reservation=reservation.sequence),
            )

    def eligible(self, plan: "PrivacyPlan", period: int) -> str | None:
        """None if a round of this plan could be reserved now, else why not in one line. Writes nothing and reads nothing but the ledger.

        Its answer depends on what was asked of the device before and not on its data, so it may be given before devices are sampled.
        """
        try:
            account, cost = self.account(), plan.cost()
            budget = account.budget or _first_budget(plan, cost, None)
            self._check_terms(budget, plan, cost)
            return self._over(account, budget, cost, period, None)
        except PrivacyError as error:
            return str(error)

    def account(self) -> Account:
        """What the ledger says, verified. Raises `PrivacyError` if it is missing, damaged or another."""
        with transaction(self.path, write=False) as (_, account):
            self._check_identity(account)
            return account

    def record(self) -> dict[str, Any]:
        """All of it for people, as JSON; `spent` is the filter's epsilon. Stays on the device. Raises as `account` does."""
        with transaction(self.path, write=False) as (connection, account):
            self._check_identity(account)
            rows = [json.loads(body) for (body,) in connection.execute("SELECT body FROM entries ORDER BY sequence")]
        budget = account.budget
        return {
            "ledger": account.ledger,
            "period_share": account.period_share,
            "budget": None if budget is None else budget.to_dict(),
            "origin": next((row["origin"] for row in rows if row["kind"] == "budget"), None),
            "spent": 0.0 if budget is None else budget.spent_epsilon(account.costs()),
            "entries": [
                {**row, "status": "committed" if row["sequence"] in account.committed else "reserved"}
                for row in rows
                if row["kind"] == "reserved"
            ],
        }

    def _check_identity(self, account: Account) -> None:
        if self.ledger is not None and account.ledger != self.ledger:
            raise PrivacyError(
                f"{self.path}: this is ledger {account.ledger}, the device's is {self.ledger}; refused, a ledger that was reset or swapped "
                "does not say what this device spent"
            )

    def _check_terms(self, budget: Budget, plan: "PrivacyPlan", cost: Cost) -> None:
        """Raises `PrivacyError` if the plan's cost is not of the budget's kind."""
        for name in ("unit", "relation", "delta"):
            wanted, found = getattr(budget, name), getattr(plan, name)
            if wanted != found:
                raise PrivacyError(
                    f"{self.path}: refused, this device's budget is for {name} {wanted!r} and the plan's is {found!r}; "
                    "their costs cannot be added up"
                )
        try:
            budget.charge(cost)
        except PrivacyError as error:
            raise PrivacyError(f"{self.path}: refused, {error}") from None

    def _over(
        self, account: Account, budget: Budget, cost: Cost, period: int, most_epsilon: float | None
    ) -> str | None:
        """Why the cost is more than what is left, or None."""
        spent = account.costs()
        if not budget.allows(spent, cost):
            return (
                f"{self.path}: refused, the budget of epsilon {budget.epsilon:.3g} is spent: "
                f"{budget.remaining(spent):.1%} of it is left after {len(spent)} rounds, and this round needs more"
            )
        if most_epsilon is not None and most_epsilon < budget.epsilon:
            after = budget.spent_epsilon([*spent, cost])
            if after > most_epsilon * (1 + ROUNDING):
                return (
                    f"{self.path}: refused, epsilon would come to {after:.3g} and the owner allows {most_epsilon:.3g}"
                )
        share = account.period_share
        if share is not None and not budget.allows(account.costs(period), cost, share):
            return f"{self.path}: refused, period {period} has spent its share of {share:g} of the budget of epsilon {budget.epsilon:.3g}"
        return None


def _first_budget(plan: "PrivacyPlan", cost: Cost, most_epsilon: float | None) -> Budget:
    """The owner's; or what the first plan claims, or its rounds come to by the filter if that is more."""
    if most_epsilon is not None:
        return Budget.suited_to(cost, plan.unit, plan.relation, most_epsilon, plan.delta)
    return Budget.of_rounds(cost, plan.max_participations, plan.unit, plan.relation, plan.delta, plan.epsilon)


def _add(connection: sqlite3.Connection, entry: Entry) -> Entry:
    append(connection, entry)
    return entry


def _policy(plan: "PrivacyPlan", cost: Cost) -> str:
    """SHA-256 of what the plan claims: tells rounds under the same terms from others."""
    claim = [
        plan.unit,
        plan.relation,
        plan.epsilon,
        plan.delta,
        plan.max_participations,
        plan.mechanism,
        cost.to_dict(),
    ]
    return hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).hexdigest()
