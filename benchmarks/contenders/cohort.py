"""everbloom's cohort engine: a round's clients trained together; `python -m benchmarks.contenders.cohort FOLDER [PROCESSES]`."""

import numpy as np
from flwr.app import RecordDict
from numpy.typing import NDArray

from benchmarks.opened import PERIOD, Workload
from benchmarks.spread import serve_spread
from everbloom.wire import Task
from simulation.cohort import CohortWorker


class Engine:
    """What a worker of the simulation does with a job; one job is all the clients that it is given."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        study = workload.study
        self.worker = CohortWorker(study, np.zeros(study.clients, dtype=np.int32), folded=True, memory=None)

    def total(self, clients: NDArray[np.int64], number: int) -> NDArray[np.float32]:
        """[params] sum of the clients' updates in a round."""
        result = self.worker.train(self._task(number), clients)
        self.worker.participations[:] = 0
        return np.asarray(result.deltas[0])

    def _task(self, number: int) -> RecordDict:
        study = self.workload.study
        return Task(
            self.workload.initial, study.layout.schema, study.terms, PERIOD, number, self.workload.window
        ).pack()


if __name__ == "__main__":
    serve_spread(Engine)
