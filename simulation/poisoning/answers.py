"""Attackers among simulated devices: the server's messages to them are answered with what the attack makes of their updates.

They obey no clip norm and add no noise. Where the server refuses updates beyond the clip norm, they send what it takes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from everbloom.learning.local import DIVERGED
from everbloom.seeding import numpy_generator
from everbloom.study import Study
from everbloom.wire import Task
from simulation.cohort import CohortWorker
from simulation.grid import Answer, client_of
from simulation.jobs import JobResult, by_content, replies
from simulation.poisoning.attack import Attack, Knowledge
from simulation.poisoning.climbing import Climbing
from simulation.poisoning.scene import Scene
from simulation.threads import one_thread


class Attackers:
    """Answers for the scene's attackers, and hands all other messages on."""

    def __init__(self, study: Study, ledger: Path, everybody: Answer, attack: Attack, scene: Scene) -> None:
        """`ledger`: file of the devices' ledgers, [clients] int32; `everybody`: who answers for the others."""
        self.study = study
        self.attack = attack
        self.everybody = everybody
        self.attackers = frozenset(scene.attackers.tolist())
        self.worker = CohortWorker(study, np.load(ledger, mmap_mode="r+"), folded=False, memory=None)
        self.climbing = Climbing(study, scene)

    def answer(self, messages: list[Message]) -> Iterator[Message]:
        """The honest ones' replies as they come, then the attackers'."""
        own = [message for message in messages if client_of(message.metadata.dst_node_id) in self.attackers]
        others = [message for message in messages if client_of(message.metadata.dst_node_id) not in self.attackers]
        if others:
            yield from self.everybody(others)
        for content, group in by_content(own):
            clients = np.array([client_of(message.metadata.dst_node_id) for message in group], dtype=np.int64)
            with one_thread():
                result = self._forged(content, clients)
            yield from replies(group, np.arange(len(group)), result)

    def _forged(self, content: RecordDict, clients: NDArray[np.int64]) -> JobResult:
        """What the attackers among these clients send, if their devices could send anything."""
        honest, task = self.worker.train(content, clients), Task.unpack(content)
        if not len(honest.deltas):
            return honest
        size = self.study.layout.size()
        knowledge = Knowledge(
            honest.deltas[:, :size],
            numpy_generator(self.study.experiment.seed, "attack", period=task.period, round=task.round),
            lambda: self.climbing.direction(task.parameters),
        )
        with np.errstate(over="ignore", invalid="ignore"):
            forged = self.attack.forge(knowledge)
        failures = honest.failures
        if not np.isfinite(forged).all():
            failures = {**failures, **{int(place): DIVERGED for place in honest.trained}}
            return JobResult(honest.trained[:0], honest.deltas[:0], False, honest.schema, failures)
        return JobResult(honest.trained, self._accepted(forged, task), False, honest.schema, failures)

    def _accepted(self, forged: NDArray[np.float32], task: Task) -> NDArray[np.float32]:
        """[attackers, numbers] as much of it as the server takes."""
        plan = self.study.plan
        if plan is None or plan.release is None or not plan.server.clipped:
            return forged
        found: NDArray[np.float32] = plan.release.finish(torch.from_numpy(forged), task.clip_norm or plan.clip_norm, ())
        return found
