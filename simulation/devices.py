"""A simulated population, one device after the other: every user of the data set is a device whose events are a view of the log."""

import numpy as np
from flwr.app import Context, Message, RecordDict
from numpy.typing import NDArray

from client.app import make_app
from client.device import Device
from client.randomness import SeededRandomness
from client.workbench import Workbench, build_workbench
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.plan import PrivacyPlan
from everbloom.study import Study
from everbloom.wire import TRAIN, Terms, Update
from simulation.grid import call_client, identify, node_of
from simulation.jobs import JobResult


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


class DeviceWorker:
    """Does a job through the ClientApp and Opacus, one device after the other: what real devices run, and the measure of what is faster."""

    def __init__(self, study: Study, participations: NDArray[np.int32]) -> None:
        """`participations` [population]: the devices' ledgers, changed in place."""
        self.app = make_app(SimulatedDevices(study, participations).open)
        self.schema = study.layout.schema
        identify()

    def train(self, content: RecordDict, clients: NDArray[np.int64]) -> JobResult:
        """See `Worker`."""
        deltas, trained = [], []
        failures: dict[int, str] = {}
        for position, client in enumerate(clients.tolist()):
            reply = call_client(self.app, Message(content, dst_node_id=node_of(client), message_type=TRAIN))
            if reply.has_error():
                failures[position] = reply.error.reason or "no reason given"
            else:
                deltas.append(Update.unpack(reply.content).delta)
                trained.append(position)
        return JobResult(np.array(trained, dtype=np.int64), np.array(deltas), False, self.schema, failures)


class _ArrayLedger:
    """One client's entry of the population's ledgers. Nothing to commit: a reservation counts."""

    def __init__(self, participations: NDArray[np.int32], client: int) -> None:
        self.participations = participations
        self.client = client

    def reserve(self, plan: PrivacyPlan, period: int, round: int) -> None:
        Ledger(plan, self.participations).reserve(self.client)

    def commit(self, plan: PrivacyPlan, period: int, round: int) -> None:
        return
