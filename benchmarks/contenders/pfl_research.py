"""The same federated rounds in pfl-research: the same model as a `PyTorchModel`, users as a `FederatedDataset`, `FederatedAveraging`.

Central SGD with rate 1, as many full-batch local steps as everbloom's devices take, no evaluation; two processes share a cohort by torch.distributed,
as pfl does it.
`python -m benchmarks.contenders.pfl_research FOLDER [PROCESSES]`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.opened import Workload, from_arguments, length
from benchmarks.protocol import Conversation, Request
from benchmarks.spread import by_work, free_port
from everbloom.learning.candidates import build_candidates, draw_negatives
from everbloom.learning.examples import Examples, build_examples
from everbloom.models.recommender import Recommender

_RANK = "EVERBLOOM_BENCH_RANK"


class Model(torch.nn.Module):
    """The recommender with the two methods that pfl asks of a model."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.recommender: Recommender = workload.study.new_model().train()
        self.objective = workload.study.experiment.learning.objective

    def loss(self, negatives: torch.Tensor, **columns: torch.Tensor) -> torch.Tensor:
        """Mean loss of a user's examples."""
        examples = Examples(**columns)
        scores = self.recommender(examples.items, examples.circumstances, negatives, examples.place, None)
        candidates = build_candidates(examples, negatives, self.recommender.item.items)
        return self.objective.per_example(scores, candidates).mean()

    def metrics(self, **columns: torch.Tensor) -> dict[str, Any]:
        """Nothing is evaluated."""
        return {}


class Users:
    """Whom a round asks, in order, and their data: pfl calls `sample` for each user and `dataset` for those that are this process's."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.number = 0
        self._waiting: list[int] = []

    def begin(self, number: int) -> None:
        """The next round's users; the heaviest first, so that processes that take turns get about the same work."""
        self.number = number
        self._waiting = by_work(self.workload, self.workload.cohort(number)).tolist()[::-1]

    def sample(self) -> int:
        """The next user."""
        return self._waiting.pop()

    def dataset(self, user: int) -> Any:
        """Examples and negatives of a user, built from the events as on a device."""
        from pfl.data.pytorch import PyTorchTensorDataset

        study = self.workload.study
        learning, rows = study.experiment.learning, study.dataset.events.rows(user)
        draws = self.workload.draws(np.array([user]), self.number)
        examples, _ = build_examples(
            study.dataset.events.of(user),
            study.timeline.weight[rows],
            self.workload.window,
            learning,
            study.experiment.model.user.history,
            disjoint=study.plan is not None,
            draws=draws,
        )
        return PyTorchTensorDataset(
            {
                "items": examples.items,
                "behaviour": examples.behaviour,
                "real": examples.real,
                "weight": examples.weight,
                "place": examples.place,
                "gap": examples.gap,
            },
            user_id=str(user),
            train_kwargs={
                "negatives": draw_negatives(np.arange(len(study.dataset.catalog)), learning.negatives, draws)
            },
        )


class Turns:
    """Rounds as they are asked for; called by pfl after each one. Every process of a run holds one."""

    def __init__(
        self, workload: Workload, model: Model, users: Users, requests: Iterator[Request], answer: Any
    ) -> None:
        self.workload = workload
        self.model = model
        self.users = users
        self.requests = requests
        self.answer = answer
        self.left: list[int] = []
        self.norms: list[float] = []
        self.clients = 0
        self.began = 0.0

    def after_round(self) -> bool:
        """Records the round that was done and begins the next; true when there is none."""
        self.norms.append(length(self._parameters() - self.workload.initial))
        self._restore()
        if not self.left:
            self.answer(time.perf_counter() - self.began, self.clients, self.norms)
            return self.begin()
        self._next()
        return False

    def begin(self) -> bool:
        """Waits for a request; true when there is none any more."""
        request = next(self.requests, None)
        if request is None:
            return True
        self.began, self.left, self.norms, self.clients = time.perf_counter(), list(request.rounds), [], 0
        self._next()
        return False

    def _next(self) -> None:
        self.users.begin(self.left.pop(0))
        self.clients += len(self.workload.cohort(self.users.number))

    def _parameters(self) -> NDArray[np.float32]:
        return self.workload.study.layout.flat(self.model.recommender)

    def _restore(self) -> None:
        flat, start = torch.from_numpy(self.workload.initial), 0
        with torch.no_grad():
            for parameter in self.model.recommender.parameters():
                parameter.copy_(flat[start : start + parameter.numel()].view(parameter.shape))
                start += parameter.numel()


def run(workload: Workload, requests: Iterator[Request], answer: Any) -> None:
    """Rounds in pfl until there are no more requests."""
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.algorithm.base import NNAlgorithmParams
    from pfl.algorithm.federated_averaging import FederatedAveraging
    from pfl.callback.base import TrainingProcessCallback
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.hyperparam import NNTrainHyperParams
    from pfl.metrics import Metrics
    from pfl.model.pytorch import PyTorchModel

    learning = workload.study.experiment.learning
    module, users = Model(workload), Users(workload)
    turns = Turns(workload, module, users, requests, answer)

    class TakeTurns(TrainingProcessCallback):
        def after_central_iteration(
            self, aggregate_metrics: Metrics, model: Any, *, central_iteration: int
        ) -> tuple[bool, Metrics]:
            return turns.after_round(), Metrics()

    model = PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), lr=1.0))
    data = FederatedDataset(users.dataset, users.sample)
    if turns.begin():
        return
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=10**9,
            evaluation_frequency=10**9,
            train_cohort_size=len(workload.cohort(1)),
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=data, val_data=data),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=learning.local_steps,
            local_learning_rate=learning.learning_rate,
            local_batch_size=None,
        ),
        callbacks=[TakeTurns()],
        send_metrics_to_platform=False,
    )


def lead(workload: Workload, processes: int) -> None:
    """The process that talks to the driver; tells the others which rounds to do."""
    conversation = Conversation()
    followers = []
    if processes > 1:
        address = f"127.0.0.1:{free_port()}"
        os.environ |= {"PFL_WORKER_ADDRESSES": ",".join([address] * processes), "PFL_WORKER_RANK": "0"}
        command = [sys.executable, "-m", "benchmarks.contenders.pfl_research", *sys.argv[1:]]
        for rank in range(1, processes):
            environment = os.environ | {"PFL_WORKER_RANK": str(rank), _RANK: str(rank)}
            followers.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True))

    def requests() -> Iterator[Request]:
        for request in conversation.requests(processes=processes, **workload.facts()):
            for follower in followers:
                assert follower.stdin is not None
                follower.stdin.write(" ".join(map(str, request.rounds)) + "\n")
                follower.stdin.flush()
            yield request

    run(workload, requests(), conversation.answer)
    for follower in followers:
        follower.communicate()


def follow(workload: Workload) -> None:
    """A further process: does what the first one tells it on its standard input."""
    requests = (Request(tuple(map(int, line.split()))) for line in sys.stdin)
    run(workload, requests, lambda *answer: None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.random.seed(1)  # noqa: NPY002 - pfl draws from numpy's global generator
    opened = from_arguments()
    if _RANK in os.environ:
        follow(opened)
    else:
        lead(opened, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
