"""Who may be asked now, and cohorts drawn from them: by the ledgers, by membership, and on a simulated clock by who is there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.privacy.ledger import Ledger
from everbloom.study import Study
from server.roster import KnowsTime
from server.sampling import sample_cohort


@dataclass(frozen=True, eq=False)
class Drawing:
    """`clock`: the grid, where it knows the time."""

    study: Study
    ledger: Ledger
    clock: KnowsTime | None

    def able(self, clients: NDArray[np.int64], period: int) -> NDArray[np.bool_]:
        """[clients] who may be asked in this period."""
        there, members = self.ledger.eligible_among(clients), self.study.membership
        return there if members is None else there & members.there(clients, period)

    def cohort(self, clients: NDArray[np.int64], period: int, round: int, purpose: str = "cohort") -> NDArray[np.int64]:
        """Of those of `clients` (ascending) who may be asked and are there now; see `sample_cohort`."""

        def eligible(some: NDArray[np.int64]) -> NDArray[np.bool_]:
            able = self.able(some, period)
            return able if self.clock is None else able & self.clock.available(some)

        experiment = self.study.experiment
        return sample_cohort(clients, eligible, experiment.federation, experiment.seed, period, round, purpose)
