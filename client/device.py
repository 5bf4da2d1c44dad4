"""One device: its private events, its ledger, and the one thing it does for a federation: train on a task and answer with an update."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from client.randomness import Randomness
from client.workbench import Workbench
from everbloom.data.events import Histories
from everbloom.data.timeline import positive_weights
from everbloom.learning.candidates import draw_negatives
from everbloom.learning.examples import build_examples
from everbloom.privacy.plan import PrivacyPlan
from everbloom.seeding import PublicDraws
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
    events: Histories
    ledger: DeviceLedger
    randomness: Randomness
    workbench: Callable[[Terms], Workbench]

    def train(self, task: Task) -> Update:
        """One round. Raises `SchemaError` if the server's model is another, `BudgetExceeded` if the budget is spent."""
        bench = self.workbench(task.terms)
        bench.check(task)
        if bench.plan is not None:
            self.ledger.reserve(bench.plan, task.period, task.round)
        learning = task.terms.learning
        draws = PublicDraws(task.terms.seed, np.array([self.client]), task.period, task.round)
        examples, _ = build_examples(
            self.events,
            positive_weights(self.events, task.terms.labels),
            task.window,
            learning,
            length=task.terms.model.user.history,
            disjoint=bench.plan is not None and bench.plan.dp_sgd is not None,
            draws=draws,
        )
        # Negatives may come from the public seed: they are uniform over the catalogue and tell nothing about the device.
        negatives = draw_negatives(bench.items, learning.negatives, draws)
        randomness = self.randomness.draws(task.period, task.round)
        delta: NDArray[Any] = bench.trainer.update(task.parameters, examples, negatives, randomness)
        if bench.plan is not None and (release := bench.plan.release) is not None:
            bound = bench.plan.clip_norm if task.clip_norm is None else task.clip_norm
            delta = release.finish(torch.from_numpy(delta)[None], bound, [randomness.noise])[0]
        if bench.plan is not None:
            self.ledger.commit(bench.plan, task.period, task.round)
        return Update(delta, 1, bench.layout.schema)
