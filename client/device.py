"""One device: its private events, its ledger, and what it does for a federation: train on a task and answer with an update, or measure a model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from client.evaluating import own_measures
from client.randomness import Randomness
from client.workbench import Workbench
from everbloom.compression.codec import Codec
from everbloom.compression.sending import Sent, compressed, sent_bound
from everbloom.data.events import Histories
from everbloom.data.timeline import positive_weights
from everbloom.errors import InputError, PrivacyError
from everbloom.evaluation_wire import MASKED_FROM, EvaluationTask, Tally
from everbloom.learning.candidates import draw_negatives, known_items
from everbloom.learning.counting import Voters, count_each
from everbloom.learning.examples import Examples, build_examples
from everbloom.learning.rehearsal import old_examples, rehearsed
from everbloom.privacy.counting_query import CountingQuery
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.messages import read_terms
from everbloom.privacy.secure_aggregation.terms import Terms as SecureTerms
from everbloom.seeding import PublicDraws
from everbloom.wire import Task, Terms, Update


class DevicePersonal(Protocol):
    """What a device keeps from round to round, its personal parameters and what its algorithm remembers; it stays here."""

    def load(self, task: Task, size: int) -> NDArray[np.float32]:
        """[size] from the federation that the task belongs to; zeros if nothing was learnt in it yet."""
        ...

    def save(self, task: Task, values: NDArray[np.float32]) -> None:
        """Keeps them for the next round; a kill at any moment leaves either these or those from before."""
        ...


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
    secure: SecureDevice | None = None
    """Its part in secure aggregation; None: it takes part in none."""
    personal: DevicePersonal | None = None
    """Where it keeps numbers from round to round; None: it cannot train where there are any."""
    residual: DevicePersonal | None = None
    """Where it keeps what compression left out; None: it cannot take part where that is to be sent later."""
    unmasked: bool = False
    """Whether it answers in clear under a plan that counts on masks. In a simulation alone, where the sum is the same."""

    def train(self, task: Task) -> Update:
        """One round. Raises `SchemaError` if the server's model is another, `BudgetExceeded` if the budget is spent, `PrivacyError` if the plan
        counts on masks; nothing is charged or read then.
        """
        bench = self._bench(task)
        if isinstance(bench.plan, DistributedPlan) and not self.unmasked:
            raise PrivacyError("refused: the plan counts on secure aggregation, and the task came without it")
        finished = self._finished(bench, task)
        return Update(
            finished if bench.codec is None else self._compressed(bench.codec, bench, task, finished),
            1,
            bench.layout.schema,
        )

    def train_masked(self, task: Task, request: bytes) -> bytes:
        """The same behind the masks of secure aggregation. Raises `PrivacyError` if they are weaker than the plan counts on."""
        bench = self._bench(task)
        secure, plan = self._behind_masks(bench)
        _check_masks(read_terms(request), task.period, task.round, plan)
        return secure.mask(request, self._finished(bench, task))

    def evaluate(self, asked: EvaluationTask) -> Tally:
        """How good the model is here, as the plan lets it be told; charged like a round. Raises as `train` does, and `PrivacyError` if the plan
        has no way to tell it.
        """
        bench = self._bench(asked.task)
        if isinstance(bench.plan, DistributedPlan) and not self.unmasked:
            raise PrivacyError("refused: the plan counts on secure aggregation, and the question came without it")
        return Tally(self._measured(bench, asked))

    def evaluate_masked(self, asked: EvaluationTask, request: bytes) -> bytes:
        """The same behind the masks of secure aggregation. Raises `PrivacyError` if they are weaker than the plan counts on."""
        bench = self._bench(asked.task)
        secure, plan = self._behind_masks(bench)
        _check_masks(read_terms(request), asked.task.period, asked.task.round + MASKED_FROM, plan)
        return secure.mask(request, self._measured(bench, asked))

    def _measured(self, bench: Workbench, asked: EvaluationTask) -> NDArray[Any]:
        """What may leave the device: charged, measured, noised as the plan says."""
        task, plan = asked.task, bench.plan
        query = CountingQuery() if plan is None else plan.query
        kept = self._kept(bench, task)
        if plan is not None:
            self.ledger.reserve(plan, task.period, task.round)
        noise = self.randomness.evaluation_noise(task.period, task.round) if query.draws_noise else None
        sums = query.answer(own_measures(bench, asked, self.events, kept), noise)
        if plan is not None:
            self.ledger.commit(plan, task.period, task.round)
        return sums

    def _behind_masks(self, bench: Workbench) -> tuple[SecureDevice, DistributedPlan]:
        """Raises `PrivacyError` unless both have to do with masks."""
        if not isinstance(bench.plan, DistributedPlan):
            raise PrivacyError("refused: a masked vector is asked for under a plan whose updates are not integers")
        if self.secure is None:
            raise PrivacyError("refused: this device has no identity for secure aggregation")
        return self.secure, bench.plan

    def _bench(self, task: Task) -> Workbench:
        bench = self.workbench(task.terms)
        bench.check(task)
        return bench

    def _kept(self, bench: Workbench, task: Task) -> NDArray[np.float32]:
        if bench.kept == 0:
            return np.zeros(0, dtype=np.float32)
        if self.personal is None:
            raise InputError(
                "this device has no place for what it would keep from round to round; set model.user.personal = false and leave out "
                "learning.algorithm"
            )
        return self.personal.load(task, bench.kept)

    def _finished(self, bench: Workbench, task: Task) -> NDArray[Any]:
        """What may leave the device: charged, trained, released as the plan says."""
        kept = self._kept(bench, task)
        if bench.plan is not None:
            self.ledger.reserve(bench.plan, task.period, task.round)
        counts = task.terms.model.counts_in(task.round)
        delta = self._vote(bench, task) if counts else self._learnt(bench, task, kept)
        if bench.plan is not None:
            self.ledger.commit(bench.plan, task.period, task.round)
        return delta

    def _compressed(self, codec: Codec, bench: Workbench, task: Task, finished: NDArray[Any]) -> NDArray[np.uint8]:
        """What is sent of an update that may leave the device."""
        assert task.terms.compression is not None
        draws = PublicDraws(task.terms.seed, np.array([self.client]), task.period, task.round)
        bound = sent_bound(bench.plan, task.clip_norm)
        if not task.terms.compression.feedback:
            return _row(compressed(codec, finished[None], None, draws, bound))
        if self.residual is None:
            raise InputError(
                "this device has no place for what compression leaves out; set federation.compression.feedback = false"
            )
        rest = self.residual.load(task, codec.params)
        sent = compressed(codec, finished[None], rest[None], draws, bound)
        self.residual.save(task, sent.rest[0])
        return _row(sent)

    def _vote(self, bench: Workbench, task: Task) -> NDArray[Any]:
        """The answer to a round that counts."""
        weight = positive_weights(self.events, task.terms.labels)
        randomness = self.randomness.draws(task.period, task.round)
        examples = None
        if bench.plan is not None and bench.plan.dp_sgd is not None:
            draws = PublicDraws(task.terms.seed, np.array([self.client]), task.period, task.round)
            terms, length = task.terms, task.terms.model.user.history
            examples = build_examples(self.events, weight, task.window, terms.learning, length, True, draws)
        voters = Voters(self.events, weight, task.window, lambda: (randomness,), examples)
        return count_each(bench.plan, bench.layout, voters, task.clip_norm)[0]  # type: ignore[no-any-return]

    def _learnt(self, bench: Workbench, task: Task, kept: NDArray[np.float32]) -> NDArray[Any]:
        """The answer to a round that learns."""
        draws = PublicDraws(task.terms.seed, np.array([self.client]), task.period, task.round)
        # Negatives may come from the public seed: they are uniform over the items that there are and tell nothing about the device.
        known = known_items(bench.first_seen, task.window)
        negatives = draw_negatives(known, task.terms.learning.negatives, draws)
        examples = self._examples(bench, task, draws, negatives, kept)
        randomness = self.randomness.draws(task.period, task.round)
        delta: NDArray[Any] = bench.update(task, examples, negatives, randomness, kept)
        if self.personal is not None and len(kept):
            self.personal.save(task, kept)
        if bench.plan is not None and (release := bench.plan.release) is not None:
            bound = bench.plan.clip_norm if task.clip_norm is None else task.clip_norm
            delta = release.finish(torch.from_numpy(delta)[None], bound, [randomness.noise])[0]
        return delta

    def _examples(
        self,
        bench: Workbench,
        task: Task,
        draws: PublicDraws,
        negatives: torch.Tensor,
        kept: NDArray[np.float32],
    ) -> Examples:
        """What is learnt in a round: the window's targets, and what is rehearsed beside them."""
        terms, events, length = task.terms, self.events, task.terms.model.user.history
        weight = positive_weights(events, terms.labels)

        def losses() -> NDArray[np.float32]:
            old, _ = old_examples(events, weight, task.window, terms.learning, length, draws)
            return bench.trainer.losses(task.parameters, old, negatives, kept)

        old_targets = None
        if terms.continual is not None and terms.continual.replay is not None and task.period:
            key = np.array([self.randomness.replay(task.period, task.round)])
            old_targets = rehearsed(terms.continual.replay, events, weight, task.window, key, losses)
        disjoint = bench.plan is not None and bench.plan.dp_sgd is not None
        return build_examples(events, weight, task.window, terms.learning, length, disjoint, draws, old_targets)[0]


def _row(sent: Sent) -> NDArray[np.uint8]:
    """[bytes] of the one device that sent."""
    row: NDArray[np.uint8] = sent.encoded.rows()[0]
    return row


def _check_masks(asked: SecureTerms, period: int, round: int, plan: DistributedPlan) -> None:
    encoding = plan.encoding
    if (asked.period, asked.round) != (period, round):
        raise PrivacyError("refused: the masks are of another round than the task")
    if (asked.length, asked.bits) != (encoding.padded, encoding.bits) or asked.minimum < plan.min_cohort:
        raise PrivacyError(
            f"refused: the masks are for {asked.length} numbers of {asked.bits} bits from {asked.minimum} devices or more, the plan counts on "
            f"{encoding.padded} of {encoding.bits} bits from {plan.min_cohort}"
        )
