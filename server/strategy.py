"""The Flower strategy: flat updates, equal weights, one sum or a robust rule; a failed client is counted and never costs the round."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from everbloom.compression.codec import Codec
from everbloom.data.held_out import HeldOut
from everbloom.data.timeline import TrainingWindow
from everbloom.errors import InputError, SchemaError
from everbloom.methods import AGGREGATION_RULES, AggregationRule, ServerOptimizer
from everbloom.models.layout import ParameterLayout
from everbloom.privacy.opening import MeanOfReplies, State, SumOpening
from everbloom.seeding import PublicDraws
from everbloom.wire import TRAIN, Task, Terms, Update
from server.algorithm import ServerAlgorithm
from server.combining import Adding, Arrays, Combining, Keeping
from server.counting import Counting
from server.device_measuring import DeviceMeasuring
from server.noise import ServerNoise, secret_noise

_ROUNDING = 1 + 1e-4
"""What float32 may add to the norm of a sum."""


@dataclass
class FlatStrategy(Strategy):
    """Sends one flat vector, adds up what comes back (or combines it, as `rule` says), lets the plan's `opening` make a mean of the sum and a
    `ServerOptimizer` apply it.

    `ask` sets who is asked next; `state` is the optimizer's. Every reply weighs by the number of clients it sums, and each client by one: weighting
    by examples would give a client unbounded influence and tell the server how active it is.
    """

    layout: ParameterLayout
    terms: Terms
    optimizer: ServerOptimizer
    min_replies: int
    state: dict[str, NDArray[np.float32]]
    opening: SumOpening = field(default_factory=MeanOfReplies)
    mechanism: State = field(default_factory=dict)
    """What `opening` knows from round to round."""
    noise: ServerNoise = secret_noise
    rule: AggregationRule = field(default_factory=lambda: AGGREGATION_RULES.parse("mean"))
    aggregation: Arrays = field(default_factory=dict)
    """What `rule` knows from round to round."""
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """Where the parameters that a device touches together begin; see `Updates`."""
    opened: int = 0
    """Rounds of the whole run whose sums were opened, or given up, before the next one."""
    cohort: Mapping[int, int] = field(default_factory=dict)
    wanted: int = 0
    period: int = 0
    window: TrainingWindow = field(default_factory=lambda: TrainingWindow(0, 0))
    reasons: list[str] = field(default_factory=list)
    """Why clients of the last round failed."""
    teacher: NDArray[np.float32] | None = None
    """Parameters [params] that devices are sent beside the model, to distil from."""
    pull: Callable[[NDArray[np.float32]], NDArray[np.float32] | None] | None = None
    """What the continual method adds to the mean update, given the parameters that devices started from."""
    released: NDArray[np.float32] | None = None
    """The last round's mean update as the mechanism released it, before anything was added."""
    counting: Counting | None = None
    """What is counted and not learnt, if anything is."""
    there: NDArray[np.int64] | None = None
    """The items that people can have met until the end of what is counted in the next round; None: it does not count."""
    catalogue: str | None = None
    """Digest of the catalogue that items are numbered by; None: devices are not told."""
    continues: str | None = None
    """The federation that this one goes on from, if it does."""
    measuring: DeviceMeasuring | None = None
    """How devices are asked to measure, if they are."""
    held_out: HeldOut | None = None
    """What they are to find."""
    algorithm: ServerAlgorithm | None = None
    """The federated algorithm's part, if the experiment has one."""
    codec: Codec | None = None
    """What reads compressed updates; None: they come as they are."""
    record: Mapping[str, float] = field(default_factory=dict)
    """What the mechanism says of the last round."""
    _parameters: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))

    def ask(self, cohort: Mapping[int, int], period: int, window: TrainingWindow, wanted: int | None = None) -> None:
        """client number -> node id of those who are asked in the next round, what they train on, and how many answers do (default: all)."""
        self.cohort, self.period, self.window = cohort, period, window
        self.wanted = len(cohort) if wanted is None else min(wanted, len(cohort))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a client; all share one content, which nobody changes."""
        self._parameters = arrays["flat"].numpy()
        bound = self.opening.bound(self.mechanism)
        task = Task(
            self._parameters,
            self.layout.schema,
            self.terms,
            self.period,
            server_round,
            self.window,
            clip_norm=bound,
            teacher=self.teacher,
            catalogue=self.catalogue,
            continues=self.continues,
            sent=None if self.algorithm is None else self.algorithm.sent,
        )
        content = task.pack()
        return [Message(content, dst_node_id=node, message_type=TRAIN) for node in self.cohort.values()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Adds replies as they arrive. None for the arrays if fewer than `min_replies` clients answered: the round changes nothing (unless the plan
        wants it to, since whether it does would tell who was drawn).

        Who is silent has failed, unless the wanted number answered: then nobody waited for the others, and they are `unneeded`.
        Raises `InputError` if training diverged.
        """
        zero, bound = self.opening.zero(self.layout.size()), self.opening.bound(self.mechanism)
        combining = self._combining(zero)
        clients = bytes_up = 0
        self.reasons = []
        for reply in replies:
            try:
                update = self._read(reply, zero, len(self.cohort) - clients, server_round)
                combining.add(update, reply.metadata.src_node_id)
            except SchemaError as error:  # this client failed; the others' work stands
                self.reasons.append(str(error))
                continue
            clients += update.clients
            each = update.delta.nbytes if self.codec is None else self.codec.size
            bytes_up += each * update.clients  # what its devices sent
        missing = len(self.cohort) - clients
        failed = (
            min(len(self.reasons), missing) if self.wanted < len(self.cohort) and clients >= self.wanted else missing
        )
        if failed and not self.reasons:
            self.reasons.append("no answer in time")
        metrics = MetricRecord(
            {"clients": clients, "failed": failed, "unneeded": missing - failed, "bytes-up": bytes_up}
        )
        done, self.opened, self.record, self.released = self.opened, self.opened + 1, {}, None
        if clients < max(self.min_replies, self.opening.least, self.rule.least) and not self.opening.unanswered:
            return None, metrics
        noise = self.noise(self.period, server_round)
        total, aggregation = combining.total()
        opened = self.opening.open(self.mechanism, total, clients, self.layout.size(), done, noise)
        self.record = opened.record
        if self.counting is not None and self.there is not None:
            self.mechanism = self.opening.counted(self.mechanism, opened.state)
            counted = self.counting.counted(self._parameters, opened.mean, server_round, self.there, bound)
            return ArrayRecord({"flat": Array(counted)}), metrics
        mean, memory = opened.mean, None
        if self.algorithm is not None:
            mean, memory = self.algorithm.combined(mean, clients)
        pulled = None if self.pull is None else self.pull(self._parameters)
        mean = mean if pulled is None else mean + pulled
        with np.errstate(over="ignore", invalid="ignore"):
            moved, state = self.optimizer.apply(self.state, self._parameters, mean)
        if self.counting is not None:
            moved = self.counting.kept(self._parameters, moved)
        if not np.isfinite(moved).all():
            raise InputError(
                f"round {server_round}: the global parameters are no longer finite; lower federation.optimizer.learning_rate "
                "or learning.learning_rate"
            )
        self.state, self.mechanism, self.aggregation = state, opened.state, aggregation
        if self.algorithm is not None and memory is not None:
            self.algorithm.memory = memory
        self.released = opened.mean
        return ArrayRecord({"flat": Array(moved)}), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message to each of the cohort; nobody without [evaluation.devices], or where nothing is held out."""
        if self.measuring is None or self.held_out is None:
            return []
        task = Task(
            arrays["flat"].numpy(),
            self.layout.schema,
            self.terms,
            self.period,
            server_round,
            self.window,
            catalogue=self.catalogue,
            continues=self.continues,
        )
        return self.measuring.messages(task, self.held_out, self.cohort.values())

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """See `DeviceMeasuring.added`; None if nobody was to be asked."""
        if self.measuring is None or self.held_out is None:
            return None
        told, self.reasons = self.measuring.added(replies, len(self.cohort), self.period, server_round)
        return told

    def summary(self) -> None:
        """The run directory says what there is to say."""

    def _combining(self, zero: NDArray[Any]) -> Combining:
        """What takes the round's updates."""
        if self.rule.separate:
            return Keeping(self.rule, self.aggregation, self.cohort, self.rows, self.layout.size())
        return Adding(zero.copy(), self.aggregation)

    def _read(self, reply: Message, total: NDArray[Any], open_clients: int, server_round: int) -> Update:
        """The update in a reply, fit to be added to `total`, for at most `open_clients` clients. Raises `SchemaError` on anything else."""
        if reply.has_error():
            raise SchemaError(f"error {reply.error.code}: {reply.error.reason}")
        update = Update.unpack(reply.content)
        self.layout.check(update.schema, "a device")
        if (
            self.codec is not None and update.delta.dtype == np.uint8
        ):  # a simulation may send the sum of what it read itself
            if update.clients != 1:
                raise SchemaError(f"a device sent compressed bytes for {update.clients} clients, expected 1")
            moment = PublicDraws(self.terms.seed, np.zeros(1, dtype=np.int64), self.period, server_round)
            update = replace(update, delta=self.codec.decode(self.codec.read(update.delta[None]), moment)[0])
        delta, wanted = update.delta, np.dtype(np.float32) if total.dtype == np.float64 else total.dtype
        if delta.dtype != wanted or delta.shape != total.shape or not np.isfinite(delta).all():
            raise SchemaError(
                f"a device sent an unusable update: {delta.dtype} of shape {delta.shape}, expected finite {wanted} of shape {total.shape}"
            )
        if not 1 <= update.clients <= open_clients:
            raise SchemaError(f"a device sent an update for {update.clients} clients, expected 1 to {open_clients}")
        self._check_length(update)
        return update

    def _check_length(self, update: Update) -> None:
        """Raises `SchemaError` if devices that clip cannot have sent this: one that does not must not push harder than the others."""
        if not self.opening.clipped:
            return
        bound = self.opening.bound(self.mechanism) or self.terms.privacy.clip_norm
        size = self.layout.size()
        norm = float(np.linalg.norm(update.delta[:size].astype(np.float64)))
        rest = float(np.abs(update.delta[size:].astype(np.float64)).sum())  # says whether there was anything to clip
        if norm > update.clients * bound * _ROUNDING or rest > 0.5 * update.clients * _ROUNDING:
            raise SchemaError(
                f"a device sent an update of norm {norm:.4g} for {update.clients} clients, beyond their clip norm of {bound:.4g} each"
            )
