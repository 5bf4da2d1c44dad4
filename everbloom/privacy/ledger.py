"""What each device of a population has spent: reserve before reading data, train, commit; refuse what the budget does not allow."""

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import BudgetExceeded
from everbloom.privacy.plan import PrivacyPlan

Counts = NDArray[np.int32]


class Ledger:
    """The ledgers of a population in arrays [clients]: rounds taken part in, altogether and before this period, and the last round of each.

    A reservation counts as spent at once: a crash between reserving and answering can only overstate what was released. All of it depends on public
    quantities only (who was asked when), so it may steer whom to ask. Where even that is secret (`charged = "round"`), a round charges everybody.
    """

    def __init__(
        self, plan: PrivacyPlan | None, participations: Counts, before: Counts | None = None, last: Counts | None = None
    ) -> None:
        """`last`: number of the round, from 1 over the whole run, that a client was last asked in; 0 for never. Arrays are changed in place."""
        self.plan = plan
        self.participations = participations
        self.before = np.zeros_like(participations) if before is None else before
        self.last = np.zeros_like(participations) if last is None else last
        self.rounds = 0
        """Of the whole run so far."""

    def eligible_among(self, clients: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[clients] which of these can take part in the next round."""
        able = self.able_among(clients)
        if self.plan is None or self.plan.charged == "round":
            return able
        if self.plan.max_per_period is not None:
            able &= self.participations[clients] - self.before[clients] < self.plan.max_per_period
        last = self.last[clients]
        able &= (last == 0) | (self.rounds + 1 - last >= self.plan.separation)
        return able

    def able_among(self, clients: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[clients] which of these have anything left of the run's budget."""
        if self.plan is None:
            return np.ones(len(clients), dtype=np.bool_)
        if self.plan.charged == "round":
            return np.full(len(clients), self.rounds < self.plan.max_participations)
        able: NDArray[np.bool_] = self.participations[clients] < self.plan.max_participations
        return able

    def eligible(self) -> NDArray[np.bool_]:
        """[clients] who can take part in the next round."""
        return self.eligible_among(np.arange(len(self.participations)))

    def left(self) -> int:
        """How many have anything left of the run's budget."""
        return int(self.able_among(np.arange(len(self.participations))).sum())

    def begin_period(self) -> None:
        """What a period allows begins anew."""
        self.before[:] = self.participations

    def ask(self, clients: NDArray[np.int64]) -> None:
        """Charges a round of these distinct, eligible clients. Raises `BudgetExceeded` if one is not."""
        if not (able := self.eligible_among(clients)).all():
            raise BudgetExceeded(self._refusal(int(clients[~able][0])))
        self.rounds += 1
        self.participations[clients] += 1
        self.last[clients] = self.rounds

    def reserve(self, client: int) -> None:
        """A device's own: charges one round. Raises `BudgetExceeded` if it has none left."""
        if self.plan is not None and self.participations[client] >= self.plan.max_participations:
            raise BudgetExceeded(self._refusal(client))
        self.participations[client] += 1

    def reserve_all(self, clients: NDArray[np.int64]) -> dict[int, str]:
        """Devices' own: charges each of the clients that has a round left; position -> why the others were refused."""
        allowed = np.ones(len(clients), dtype=np.bool_)
        if self.plan is not None:
            allowed = self.participations[clients] < self.plan.max_participations
        self.participations[clients[allowed]] += 1
        return {int(place): self._refusal(int(clients[place])) for place in np.flatnonzero(~allowed)}

    def epsilon(self) -> float:
        """The largest epsilon spent by any device so far, at the plan's delta; infinite without a plan once anyone took part."""
        most = int(self.participations.max(initial=0))
        if self.plan is None:
            return float("inf") if most else 0.0
        return self.plan.spent(self.rounds if self.plan.charged == "round" else most)

    def _refusal(self, client: int) -> str:
        assert self.plan is not None
        return f"client {client}: refused, its budget of {self.plan.max_participations} rounds (epsilon {self.plan.epsilon:.3g}) is spent"
