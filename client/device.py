"""One device: its private events, its ledger, and the one thing it does for a federation: train on a task and answer with an update."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from client.randomness import Randomness
from client.workbench import Workbench
from everbloom.data.events import UserEvents
from everbloom.data.timeline import positive_weights
from everbloom.errors import SchemaError
from everbloom.learning.candidates import draw_negatives
from everbloom.learning.examples import build_examples
from everbloom.privacy.plan import PrivacyPlan
from everbloom.seeding import numpy_generator
from everbloom.wire import Task, Terms, Update


class DeviceLedger(Protocol):
    """What a device has spent. A reservation counts as spent, whatever happens after it."""

    def reserve(self, plan: PrivacyPlan, period: int, round: int) -> None:
        """Charges one round before any data is read. Raises `BudgetExceeded`."""
        ...

    def commit(self, plan: PrivacyPlan, period: int, round: int) -> None:
        """Records that the reserved round was trained."""
        ...


@dataclass(frozen=True)
class Device:
    """`client` is the device's number in the federation; `workbench` builds or finds what the terms need."""

    client: int
    events: UserEvents
    ledger: DeviceLedger
    randomness: Randomness
    workbench: Callable[[Terms], Workbench]

    def train(self, task: Task) -> Update:
        """One round. Raises `SchemaError` if the server's model is another, `BudgetExceeded` if the budget is spent."""
        bench = self.workbench(task.terms)
        bench.layout.check(task.schema, "the server")
        if task.parameters.dtype != np.float32 or task.parameters.shape != (bench.layout.size(),):
            raise SchemaError(
                f"the server sent {task.parameters.dtype} parameters of shape {task.parameters.shape}, "
                f"this model has float32 of shape ({bench.layout.size()},)"
            )
        if bench.plan is not None:
            self.ledger.reserve(bench.plan, task.period, task.round)
        learning, seed = task.terms.learning, task.terms.seed
        place = {"period": task.period, "round": task.round, "client": self.client}
        examples = build_examples(
            self.events,
            positive_weights(self.events, task.terms.labels),
            task.window,
            learning,
            length=task.terms.model.user.history,
            disjoint=bench.plan is not None,
            rng=numpy_generator(seed, "windows", **place),
        )
        # Negatives may come from the public seed: they are uniform over the catalogue and tell nothing about the device.
        negatives = draw_negatives(bench.items, learning.negatives, numpy_generator(seed, "negatives", **place))
        delta = bench.trainer.update(
            task.parameters, examples, negatives, self.randomness.draws(task.period, task.round)
        )
        if bench.plan is not None:
            self.ledger.commit(bench.plan, task.period, task.round)
        return Update(delta, 1, bench.layout.schema)
