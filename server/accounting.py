"""What a round took and what it has cost, on record: clients, bytes, time, and privacy spent."""

from collections.abc import Mapping

import numpy as np

from everbloom.learning.clustered import chosen
from everbloom.privacy.ledger import Ledger
from everbloom.study import Study
from server.observer import Observer
from server.personal import KnownPersonal
from server.roster import KnowsTime
from server.run_directory import RunDirectory
from server.state import FederationState
from server.strategy import FlatStrategy


class Accounting:
    """Of one run. `time`: the simulated clock, if there is one; `personal`: what devices keep, where it is known."""

    def __init__(
        self,
        study: Study,
        run: RunDirectory,
        observer: Observer,
        ledger: Ledger,
        strategy: FlatStrategy,
        time: KnowsTime | None,
        personal: KnownPersonal | None = None,
    ) -> None:
        self.study = study
        self.run_directory = run
        self.observer = observer
        self.ledger = ledger
        self.strategy = strategy
        self.time = time
        self.personal = personal

    def close_round(self, state: FederationState, told: Mapping[str, object], asked: int, seconds: float) -> None:
        """Writes the round's record, from what the strategy `told` of it, and adds it to the totals; the state's clock moves to the round's end."""
        clients, failed, unneeded, bytes_up = (
            int(told.get(key, 0))  # type: ignore[call-overload]
            for key in ("clients", "failed", "unneeded", "bytes-up")
        )
        bytes_down = asked * self._vectors_sent() * state.parameters.nbytes
        record: dict[str, int | float | None] = {
            "period": state.period,
            "round": state.round,
            "clients": clients,
            "failed": failed,
            **({"unneeded": unneeded} if self.study.experiment.federation.over_selection else {}),
            "seconds": round(seconds, 4),
            **self._simulated(state),
            **self._chosen(),
            "bytes_up": bytes_up,
            "bytes_down": bytes_down,
            **self._spent(),
        }
        state.totals.add_round(
            clients=clients,
            failed=failed,
            unneeded=unneeded,
            seconds=seconds,
            bytes_up=bytes_up,
            bytes_down=bytes_down,
        )
        self.run_directory.append("rounds", record)
        self.observer.round_done(record, self.strategy.reasons)

    def _vectors_sent(self) -> int:
        """Vectors of the model's size that each device is sent: the model, one to distil from, one of the algorithm's."""
        algorithm = self.strategy.algorithm
        return 1 + (self.strategy.teacher is not None) + (algorithm is not None and algorithm.algorithm.sends)

    def _spent(self) -> dict[str, float | int | None]:
        """What the devices have spent, and how many of them have anything left."""
        plan = self.study.plan
        if plan is None:
            return {"epsilon": None}
        return {
            **({} if plan.noise_cohort is None else {"noise_cohort": plan.noise_cohort}),
            **self.strategy.record,
            "devices_left": self.ledger.left(),
            "epsilon": round(self.ledger.epsilon(), 6),
        }

    def _chosen(self) -> dict[str, int]:
        """Devices that have chosen each of several models, if there are several and it is known."""
        copies = self.study.copies
        if copies is None or self.personal is None:
            return {}
        choice = chosen(self.personal.values)
        sizes = np.bincount(choice[choice >= 0], minlength=copies.number).tolist()
        return {f"chosen_{copy}": size for copy, size in enumerate(sizes)}

    def _simulated(self, state: FederationState) -> dict[str, float]:
        """The round's length and its close on the simulated clock, if there is one."""
        if self.time is None or state.clock is None:
            return {}
        began, state.clock = state.clock, self.time.now
        return {"simulated_seconds": round(state.clock - began, 3), "clock": round(state.clock, 3)}
