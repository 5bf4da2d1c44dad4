"""Simulated devices trained together: what each would have done alone, in batched operations."""

from functools import partial
from typing import Any

import numpy as np
import torch
from flwr.app import RecordDict
from numpy.typing import NDArray

from client.workbench import Workbench, build_workbench
from everbloom.compression.codec import Codec
from everbloom.compression.sending import compressed, sent_bound
from everbloom.config import RuntimeConfig
from everbloom.data.timeline import positive_weights
from everbloom.errors import ConfigError
from everbloom.learning.candidates import draw_negatives, known_items
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.clustered import ClusteredTraining, plans_of
from everbloom.learning.cohort.engine import CohortTrainer
from everbloom.learning.counting import Voters, count_each, count_total
from everbloom.learning.examples import build_examples
from everbloom.learning.local import DIVERGED, Draws
from everbloom.learning.rehearsal import old_examples, rehearsed
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.noise import SeededNoise
from everbloom.seeding import PublicDraws, keys, torch_generator
from everbloom.study import Study
from everbloom.wire import Task, Terms
from simulation.devices import nothing_personal
from simulation.jobs import JobResult
from simulation.residuals import no_residuals


class CohortWorker:
    """Trains the clients of a job at once. Like a device it computes its plan from the terms, and charges before it reads."""

    def __init__(
        self,
        study: Study,
        participations: NDArray[np.int32],
        folded: bool,
        memory: int | None,
        personal: NDArray[np.float32] | None = None,
        residuals: NDArray[np.float32] | None = None,
    ) -> None:
        """`participations` [population]: the devices' ledgers, changed in place, as is `personal` [population, personal], what they have learnt for
        themselves (None: nobody anything, and it is kept here), and `residuals` [population, params], what they could not send yet. `folded`: answer
        with sums. `memory`: bytes for training.
        """
        self.residuals = no_residuals(study) if residuals is None else residuals
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
        failures = {place: f"BudgetExceeded: {reason}" for place, reason in refused.items()}
        if task.terms.model.counts_in(task.round):
            count = count_total if self.folded else count_each
            counts = count(bench.plan, bench.layout, self._voters(clients[allowed], task, bench), task.clip_norm)
            return JobResult(allowed, counts, self.folded, bench.layout.schema, failures)
        cohort = self.cohort(clients[allowed], task, bench)
        trainer.learn_from(task.teacher)
        training = (
            trainer
            if bench.copies is None
            else ClusteredTraining(trainer, bench.copies, plans_of(bench.plan, bench.copies)[1])
        )
        train = training.total if self.folded and bench.codec is None else training.each
        result = train(task.parameters, cohort, task.clip_norm, task.sent)
        good = result.trained
        self.personal[clients[allowed]] = result.kept
        diverged = f"InputError: {DIVERGED}"
        failures |= {int(position): diverged for position in allowed[~good]}
        deltas = result.deltas
        if bench.codec is not None:
            deltas = self._compressed(bench.codec, bench, task, clients[allowed[good]], deltas)
        return JobResult(allowed[good], deltas, self.folded, bench.layout.schema, failures)

    def _compressed(
        self, codec: Codec, bench: Workbench, task: Task, clients: NDArray[np.int64], deltas: NDArray[np.float32]
    ) -> NDArray[Any]:
        """What these devices send of their updates [clients, params]; folded, the sum of what the server reads in it."""
        draws = PublicDraws(task.terms.seed, clients, task.period, task.round)
        rest = None if self.residuals is None else self.residuals[clients]
        sent = compressed(codec, deltas, rest, draws, sent_bound(bench.plan, task.clip_norm))
        if self.residuals is not None:
            self.residuals[clients] = sent.rest
        return sent.vectors.sum(axis=0, keepdims=True) if self.folded else sent.encoded.rows()

    def cohort(self, clients: NDArray[np.int64], task: Task, bench: Workbench) -> Cohort:
        """What these clients train on in a round."""
        terms, period, round = task.terms, task.period, task.round
        events = self.study.dataset.events.histories(clients)
        weight = positive_weights(events, terms.labels)
        draws = PublicDraws(terms.seed, clients, period, round)
        negatives = draw_negatives(known_items(bench.first_seen, task.window), terms.learning.negatives, draws)
        disjoint = bench.plan is not None and bench.plan.dp_sgd is not None
        length = terms.model.user.history
        # A simulation's devices draw from its seed, as `SeededRandomness` does for one.
        seed = self.study.experiment.seed
        dropout = keys(seed, "dropout", clients, period=period, round=round)

        kept = torch.from_numpy(self.personal[clients])

        def losses() -> NDArray[np.float32]:
            old, counts = old_examples(events, weight, task.window, terms.learning, length, draws)
            learnt = Cohort(old, counts, negatives, dropout, kept=kept)
            return self._tools(terms)[1].losses(task.parameters, learnt)

        old_targets = None
        if terms.continual is not None and terms.continual.replay is not None and period:
            own_keys = keys(seed, "replay", clients, period=period, round=round)
            old_targets = rehearsed(terms.continual.replay, events, weight, task.window, own_keys, losses)
        examples, counts = build_examples(
            events, weight, task.window, terms.learning, length, disjoint, draws, old_targets
        )
        own = None
        if bench.plan is not None:
            own = partial(_draws, seed, clients, dropout, period, round)
        return Cohort(examples, counts, negatives, dropout, own, kept)

    def _voters(self, clients: NDArray[np.int64], task: Task, bench: Workbench) -> Voters:
        """These clients in a round that counts."""
        terms, events = task.terms, self.study.dataset.events.histories(clients)
        weight = positive_weights(events, terms.labels)
        seed = self.study.experiment.seed
        dropout = keys(seed, "dropout", clients, period=task.period, round=task.round)
        examples = None
        if bench.plan is not None and bench.plan.dp_sgd is not None:
            draws = PublicDraws(terms.seed, clients, task.period, task.round)
            length = terms.model.user.history
            examples = build_examples(events, weight, task.window, terms.learning, length, True, draws)
        own = partial(_draws, seed, clients, dropout, task.period, task.round)
        return Voters(events, weight, task.window, own, examples)

    def _tools(self, terms: Terms) -> tuple[Workbench, CohortTrainer]:
        if self._bench is None or self._trainer is None or terms != self._bench.terms:
            study = self.study
            self._bench = build_workbench(
                terms, study.dataset.catalog.there_from, study.features, study.texts, study.told
            )
            self._trainer = CohortTrainer(
                self._bench.model,
                terms.model,
                self._bench.model_layout,
                self._bench.learning,
                plans_of(self._bench.plan, self._bench.copies)[0],
                self.memory,
                self.device,
                None if terms.continual is None else terms.continual.distillation,
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
