"""A simulated population, one device after the other: every user of the data set is a device whose events are a view of the log."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from flwr.app import Context, Message, RecordDict
from numpy.typing import NDArray

from client.answering import make_app
from client.device import Device
from client.randomness import SeededRandomness
from client.workbench import Workbench, build_workbench
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import identity
from everbloom.privacy.secure_aggregation.record import MemoryRecord
from everbloom.privacy.secure_aggregation.simulation import simulated_secrets
from everbloom.privacy.secure_aggregation.terms import Policy
from everbloom.study import Study
from everbloom.wire import TRAIN, Task, Terms, Update
from simulation.grid import call_client, identify, node_of
from simulation.jobs import JobResult
from simulation.residuals import no_residuals


class SimulatedDevices:
    """Opens devices by client number; all of them share one workbench, one after the other."""

    def __init__(
        self,
        study: Study,
        participations: NDArray[np.int32],
        personal: NDArray[np.float32] | None = None,
        residuals: NDArray[np.float32] | None = None,
    ) -> None:
        """`participations` [clients]: the devices' ledgers, changed in place (memory-mapped where processes share it), as is `personal` [clients,
        personal], what they have learnt for themselves; None: nobody anything, and it is kept here. So is `residuals` [clients, params], what they
        could not send yet.
        """
        self.study = study
        self.residuals = no_residuals(study) if residuals is None else residuals
        self.participations = participations
        self.personal = nothing_personal(study) if personal is None else personal
        self._bench: Workbench | None = None
        self._directory = SimulatedDirectory(study.experiment.seed)
        self._records: defaultdict[int, MemoryRecord] = defaultdict(MemoryRecord)

    def open(self, context: Context) -> Device:
        """The device of `node_config["client"]`."""
        client = int(context.node_config["client"])
        return Device(
            client=client,
            events=self.study.dataset.events.of(client),
            ledger=_ArrayLedger(self.participations, client),
            randomness=SeededRandomness(self.study.experiment.seed, client),
            workbench=self._workbench,
            secure=self._secure(client) if self.study.experiment.runtime.masks else None,
            personal=_ArrayPersonal(self.personal, client),
            residual=None if self.residuals is None else _ArrayPersonal(self.residuals, client),
            unmasked=not self.study.experiment.runtime.masks,
        )

    def _secure(self, client: int) -> SecureDevice:
        secret = self._directory.secret(client)
        return SecureDevice(client, secret, self._directory, self._records[client], Policy(minimum=3))

    def _workbench(self, terms: Terms) -> Workbench:
        if self._bench is None or (terms is not self._bench.terms and terms != self._bench.terms):
            study = self.study
            self._bench = build_workbench(
                terms, study.dataset.catalog.there_from, study.features, study.texts, study.told
            )
        return self._bench


class SimulatedDirectory(Mapping[int, bytes]):
    """Everybody's identity, from the experiment's seed, found when asked for. Protects nobody, like all that derives from the seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[int, bytes] = {}

    def secret(self, device: int) -> bytes:
        """The device's long-term secret [32 bytes]."""
        return simulated_secrets(self._seed, [device])[device]

    def __getitem__(self, device: int) -> bytes:
        if device not in self._known:
            self._known[device] = identity(self.secret(device))
        return self._known[device]

    def __iter__(self) -> Iterator[int]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class DeviceWorker:
    """Does a job through the ClientApp and Opacus, one device after the other: what real devices run, and the measure of what is faster."""

    def __init__(
        self,
        study: Study,
        participations: NDArray[np.int32],
        personal: NDArray[np.float32] | None = None,
        residuals: NDArray[np.float32] | None = None,
    ) -> None:
        """See `SimulatedDevices`."""
        self.app = make_app(SimulatedDevices(study, participations, personal, residuals).open)
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


def nothing_personal(study: Study) -> NDArray[np.float32]:
    """[population, kept] of devices that keep nothing yet; memory that is not written to is not taken."""
    return np.zeros((study.clients, study.kept), dtype=np.float32)


class _ArrayPersonal:
    """One client's row of what the population has learnt for itself; a run's rows belong to its one federation."""

    def __init__(self, values: NDArray[np.float32], client: int) -> None:
        self.values = values
        self.client = client

    def load(self, task: Task, size: int) -> NDArray[np.float32]:
        own: NDArray[np.float32] = self.values[self.client].copy()
        return own

    def save(self, task: Task, values: NDArray[np.float32]) -> None:
        self.values[self.client] = values


class _ArrayLedger:
    """One client's entry of the population's ledgers. Nothing to commit: a reservation counts."""

    def __init__(self, participations: NDArray[np.int32], client: int) -> None:
        self.participations = participations
        self.client = client

    def reserve(self, plan: PrivacyPlan, period: int, round: int) -> None:
        Ledger(plan, self.participations).reserve(self.client)

    def commit(self, plan: PrivacyPlan, period: int, round: int) -> None:
        return
