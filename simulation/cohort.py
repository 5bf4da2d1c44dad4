"""Simulated devices trained together: what each would have done alone, in batched operations."""

from functools import partial

import numpy as np
import torch
from flwr.app import RecordDict
from numpy.typing import NDArray

from client.workbench import Workbench, build_workbench
from everbloom.config import RuntimeConfig
from everbloom.data.timeline import TrainingWindow, positive_weights
from everbloom.errors import ConfigError
from everbloom.learning.candidates import draw_negatives
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.engine import CohortTrainer
from everbloom.learning.examples import build_examples
from everbloom.learning.local import DIVERGED, Draws
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.noise import SeededNoise
from everbloom.seeding import PublicDraws, keys, torch_generator
from everbloom.study import Study
from everbloom.wire import Task, Terms
from simulation.devices import nothing_personal
from simulation.jobs import JobResult


class CohortWorker:
    """Trains the clients of a job at once. Like a device it computes its plan from the terms, and charges before it reads."""

    def __init__(
        self,
        study: Study,
        participations: NDArray[np.int32],
        folded: bool,
        memory: int | None,
        personal: NDArray[np.float32] | None = None,
    ) -> None:
        """`participations` [population]: the devices' ledgers, changed in place, as is `personal` [population, personal], what they have learnt for
        themselves (None: nobody anything, and it is kept here). `folded`: answer with sums. `memory`: bytes for training.
        """
        self.study = study
        self.participations = participations
        self.personal = nothing_personal(study) if personal is None else personal
        self.folded = folded
        self.memory = memory
        self.device = torch_device(study.experiment.runtime)
        self._bench: Workbench | None = None
        self._trainer: CohortTrainer | None = None

    def train(self, content: RecordDict, clients: NDArray[np.int64]) -> JobResult:
        """See `Worker`."""
        task = Task.unpack(content)
        bench, trainer = self._tools(task.terms)
        bench.check(task)
        allowed, refused = self._reserve(bench, clients)
        cohort = self.cohort(clients[allowed], task.terms, task.period, task.round, task.window, bench)
        train = trainer.total if self.folded else trainer.each
        result = train(task.parameters, cohort, task.clip_norm)
        good = result.trained
        self.personal[clients[allowed]] = result.personal
        diverged = f"InputError: {DIVERGED}"
        failures = {place: f"BudgetExceeded: {reason}" for place, reason in refused.items()} | {
            int(position): diverged for position in allowed[~good]
        }
        return JobResult(allowed[good], result.deltas, self.folded, bench.layout.schema, failures)

    def cohort(
        self,
        clients: NDArray[np.int64],
        terms: Terms,
        period: int,
        round: int,
        window: TrainingWindow,
        bench: Workbench,
    ) -> Cohort:
        """What these clients train on in a round."""
        events = self.study.dataset.events.histories(clients)
        draws = PublicDraws(terms.seed, clients, period, round)
        examples, counts = build_examples(
            events,
            positive_weights(events, terms.labels),
            window,
            terms.learning,
            length=terms.model.user.history,
            disjoint=bench.plan is not None and bench.plan.dp_sgd is not None,
            draws=draws,
        )
        # A simulation's devices draw from its seed, as `SeededRandomness` does for one.
        seed = self.study.experiment.seed
        dropout = keys(seed, "dropout", clients, period=period, round=round)
        own = None
        if bench.plan is not None:
            own = partial(_draws, seed, clients, dropout, period, round)
        negatives = draw_negatives(bench.items, terms.learning.negatives, draws)
        personal = torch.from_numpy(self.personal[clients])
        return Cohort(examples, counts, negatives, dropout, own, personal)

    def _tools(self, terms: Terms) -> tuple[Workbench, CohortTrainer]:
        if self._bench is None or self._trainer is None or terms != self._bench.terms:
            self._bench = build_workbench(terms, len(self.study.dataset.catalog), self.study.features)
            self._trainer = CohortTrainer(
                self._bench.model,
                terms.model,
                self._bench.layout,
                terms.learning,
                self._bench.plan,
                self.memory,
                self.device,
            )
        return self._bench, self._trainer

    def _reserve(self, bench: Workbench, clients: NDArray[np.int64]) -> tuple[NDArray[np.int64], dict[int, str]]:
        """Charges all who can pay; (their positions, position -> why the others cannot)."""
        if bench.plan is None:
            return np.arange(len(clients)), {}
        refused = Ledger(bench.plan, self.participations).reserve_all(clients)
        return np.setdiff1d(np.arange(len(clients)), list(refused)), refused


def _draws(
    seed: int, clients: NDArray[np.int64], dropout: NDArray[np.uint64], period: int, round: int
) -> tuple[Draws, ...]:
    return tuple(
        Draws(
            key,
            torch_generator(seed, "sampling", period=period, round=round, client=client),
            SeededNoise(torch_generator(seed, "noise", period=period, round=round, client=client)),
        )
        for key, client in zip(dropout, clients.tolist(), strict=True)
    )


def torch_device(runtime: RuntimeConfig) -> torch.device:
    """Where cohorts are trained. Raises `ConfigError` if a GPU is asked for and there is none."""
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError('runtime.device = "cuda": no GPU is available here; use "auto" or "cpu"')
    return torch.device("cuda" if runtime.device != "cpu" and torch.cuda.is_available() else "cpu")
