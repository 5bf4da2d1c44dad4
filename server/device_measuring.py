"""What devices say of the model: their tallies added up, and the noise on it told beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Message, MetricRecord
from numpy.typing import NDArray

from everbloom.data.held_out import HeldOut
from everbloom.errors import SchemaError
from everbloom.evaluation.records import FEDERATED, Record, metric_record
from everbloom.evaluation_wire import EVALUATE, EvaluationTask, Tally
from everbloom.privacy.counting_query import CountingQuery, EncodedQuery
from everbloom.study import Study
from everbloom.wire import Task, Update
from server.noise import ServerNoise

_USERS, _ANSWERED, _FAILED, _NOISE = "users", "answered", "failed", "noise"


@dataclass(frozen=True)
class DeviceMeasuring:
    """A sum of fewer than `least` answers is not opened; under a plan whose cohorts are secret every sum is, since one that is not would tell."""

    measures: tuple[str, ...]
    query: CountingQuery
    least: int
    noise: ServerNoise

    @classmethod
    def of(cls, study: Study, noise: ServerNoise) -> "DeviceMeasuring | None":
        """None if the experiment asks for none. Raises `PrivacyError` if its plan has no way to."""
        devices, plan = study.experiment.evaluation.devices, study.plan
        if devices is None:
            return None
        query = CountingQuery() if plan is None else plan.query
        fewest = max(study.experiment.federation.min_replies, query.least)
        return cls(devices.measures, query, 0 if plan is not None and plan.server.unanswered else fewest, noise)

    def messages(self, task: Task, held_out: HeldOut, nodes: Iterable[int]) -> list[Message]:
        """One to each node; all share one content."""
        content = EvaluationTask(task, held_out, self.measures).pack()
        return [Message(content, dst_node_id=node, message_type=EVALUATE) for node in nodes]

    def added(self, replies: Iterable[Message], asked: int, period: int, round: int) -> tuple[MetricRecord, list[str]]:
        """(users, answered, failed and, unless there were too few answers, the noise's deviation on a mean and the measures; why devices failed)."""
        total, answered, reasons = self.query.zero(self._numbers), 0, []
        for reply in replies:
            try:
                if reply.has_error():
                    raise SchemaError(f"error {reply.error.code}: {reply.error.reason}")
                sums, clients = self._sums(reply, total, asked - answered)
            except SchemaError as error:
                reasons.append(str(error))
                continue
            total += sums
            answered += clients
        if answered < asked and not reasons:
            reasons.append("no answer in time")
        told: dict[str, int | float] = {_USERS: 0, _ANSWERED: answered, _FAILED: asked - answered}
        if answered >= self.least:
            source = self.noise(period, round) if self.query.server_noise else None
            told |= self._means(self.query.opened(total, self._numbers, answered, source), answered)
        return MetricRecord(dict(told)), reasons

    def _sums(self, reply: Message, like: NDArray[Any], most: int) -> tuple[NDArray[Any], int]:
        """(what a reply adds, of how many devices): one's tally, or the one sum of at most so many that secure aggregation opened."""
        if not isinstance(self.query, EncodedQuery) or "update" not in reply.content:
            return Tally.unpack(reply.content, like).sums, 1
        update = Update.unpack(reply.content)
        if not 1 <= update.clients <= most:
            raise SchemaError(f"a sum of {update.clients} devices, expected 1 to {most}")
        return Tally.unpack(Tally(update.delta).pack(), like).sums, update.clients

    @property
    def _numbers(self) -> int:
        """A count and the measures."""
        return 1 + len(self.measures)

    def _means(self, sums: NDArray[np.float64], answered: int) -> dict[str, int | float]:
        """Over those who had a case, as far as the noise lets it be known how many these are: never fewer than one."""
        users = max(1.0, float(sums[0]))
        deviation = self.query.deviation(answered, self._numbers) / users
        measured = {
            name: float(np.clip(value / users, 0, 1)) for name, value in zip(self.measures, sums[1:], strict=True)
        }
        return {_USERS: max(0, round(float(sums[0]))), _NOISE: deviation, **measured}


def device_record(told: Mapping[str, object], reasons: Sequence[str], period: int, round: int) -> Record:
    """A line of `metrics.jsonl`: `answered` and `failed` of the devices that were asked; `noise`, the deviation on each measure; `reason`, why the
    first one failed."""
    values = {name: float(value) for name, value in told.items() if name != _USERS}  # type: ignore[arg-type]
    counts = {name: int(values.pop(name)) for name in (_ANSWERED, _FAILED)}
    record = metric_record(
        period=period,
        round=round,
        split="validation",
        protocol="on-devices",
        slice="all",
        model=FEDERATED,
        users=int(told[_USERS]),  # type: ignore[call-overload]
        values=values,
    )
    return record | counts | ({"reason": reasons[0]} if reasons else {})
