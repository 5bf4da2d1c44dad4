"""A simulated population: every user of the data set is a device whose events are a view of the log."""

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from client.device import Device
from client.randomness import SeededRandomness
from client.workbench import Workbench, build_workbench
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.plan import PrivacyPlan
from everbloom.study import Study
from everbloom.wire import Terms


class SimulatedDevices:
    """Opens devices by client number; all of them share one workbench, one after the other."""

    def __init__(self, study: Study, participations: NDArray[np.int32]) -> None:
        """`participations` [clients]: the devices' ledgers, changed in place (memory-mapped where processes share it)."""
        self.study = study
        self.participations = participations
        self._bench: Workbench | None = None

    def open(self, context: Context) -> Device:
        """The device of `node_config["client"]`."""
        client = int(context.node_config["client"])
        return Device(
            client=client,
            events=self.study.dataset.events.of(client),
            ledger=_ArrayLedger(self.participations, client),
            randomness=SeededRandomness(self.study.experiment.seed, client),
            workbench=self._workbench,
        )

    def _workbench(self, terms: Terms) -> Workbench:
        if self._bench is None or (terms is not self._bench.terms and terms != self._bench.terms):
            self._bench = build_workbench(terms, len(self.study.dataset.catalog), self.study.features)
        return self._bench


class _ArrayLedger:
    """One client's entry of the population's ledgers. Nothing to commit: a reservation counts."""

    def __init__(self, participations: NDArray[np.int32], client: int) -> None:
        self.participations = participations
        self.client = client

    def reserve(self, plan: PrivacyPlan, period: int, round: int) -> None:
        Ledger(plan, self.participations).reserve(self.client)

    def commit(self, plan: PrivacyPlan, period: int, round: int) -> None:
        return
