"""One client after the other through `LocalTrainer`: Opacus where the plan is private, plain gradient steps where there is none.

What a device does, without messages; `python -m benchmarks.contenders.loop FOLDER [PROCESSES]`.
"""

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from benchmarks.opened import PERIOD, Workload
from benchmarks.spread import serve_spread
from everbloom.wire import Task
from simulation.devices import SimulatedDevices


class Loop:
    """Trains clients one by one and adds up their updates."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        study = workload.study
        self.devices = SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))

    def total(self, clients: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        """[params] sum of the clients' updates in a round."""
        study = self.workload.study
        task = Task(self.workload.initial, study.layout.schema, study.terms, PERIOD, number, self.workload.window)
        total = np.zeros(len(task.parameters), dtype=np.float32)
        for client in clients.tolist():
            device = self.devices.open(SimpleNamespace(node_config={"client": client}))  # type: ignore[arg-type]
            total += device.train(task).delta
        self.devices.participations[:] = 0
        return total


if __name__ == "__main__":
    serve_spread(Loop)
