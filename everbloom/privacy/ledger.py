"""What each device has spent: reserve before reading data, train, commit; refuse what the budget does not allow."""

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import BudgetExceeded
from everbloom.privacy.plan import PrivacyPlan


class Ledger:
    """The ledgers of a simulated population in one array: rounds taken part in, [clients] int32.

    A reservation counts as spent at once: a crash between reserving and answering can only overstate what was released.
    """

    def __init__(self, plan: PrivacyPlan | None, participations: NDArray[np.int32]) -> None:
        self.plan = plan
        self.participations = participations

    def eligible_among(self, clients: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[clients] which of these can still take part."""
        if self.plan is None:
            return np.ones(len(clients), dtype=np.bool_)
        return self.participations[clients] < self.plan.max_participations

    def eligible(self) -> NDArray[np.bool_]:
        """[clients] who can still take part. Depends on public quantities only (who took part how often), so it may steer sampling."""
        if self.plan is None:
            return np.ones(len(self.participations), dtype=np.bool_)
        return self.participations < self.plan.max_participations

    def reserve(self, client: int) -> None:
        """Charges one round. Raises `BudgetExceeded` if the device has none left."""
        if self.plan is not None and self.participations[client] >= self.plan.max_participations:
            raise BudgetExceeded(self._refusal(client))
        self.participations[client] += 1

    def reserve_all(self, clients: NDArray[np.int64]) -> dict[int, str]:
        """Charges one round to each of the clients that has one left; position -> why the others were refused."""
        allowed = self.eligible_among(clients)
        self.participations[clients[allowed]] += 1
        return {int(place): self._refusal(int(clients[place])) for place in np.flatnonzero(~allowed)}

    def epsilon(self) -> float:
        """The largest epsilon spent by any device so far, at the plan's delta; infinite without a plan once anyone took part."""
        most = int(self.participations.max(initial=0))
        if self.plan is None:
            return float("inf") if most else 0.0
        return self.plan.spent(most)

    def _refusal(self, client: int) -> str:
        assert self.plan is not None
        return f"client {client}: refused, its budget of {self.plan.max_participations} rounds (epsilon {self.plan.epsilon:.3g}) is spent"
