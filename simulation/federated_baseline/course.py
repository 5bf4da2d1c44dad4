"""The course of rounds that all published baselines share."""

import hashlib
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.prepare import prepare
from everbloom.data.timeline import Timeline
from everbloom.errors import ConfigError
from everbloom.evaluation.evaluator import Scorer
from everbloom.experiment import Experiment
from everbloom.federated_baselines.averaging import gathered
from everbloom.federated_baselines.block import Block, blocks
from everbloom.federated_baselines.positives import Positives
from everbloom.federated_baselines.scoring import AggregatedScorer, OwnScorer
from everbloom.federated_baselines.state import ITEMS, Clients, State
from everbloom.methods import FederatedBaseline, Progress
from everbloom.study import Study
from server.checkpoint import load_checkpoint, save_checkpoint
from server.measuring import Measuring
from server.observer import Observer
from server.run_directory import RunDirectory
from server.state import Best, FederationState

AGGREGATED = "aggregated"
"""The model beside the federated one where a paper scores with each client's own item embedding: the same round, scored with the server's."""
OWN_ITEMS = "own-items"
"""The model beside it where a paper scores with the server's."""


def open_baseline(experiment: Experiment, preparing: Progress) -> Study:
    """The data and the protocol of an experiment with a [baseline]; it has no features and no plan."""
    dataset = prepare(experiment.data, preparing)
    timeline = Timeline(dataset.events, dataset.catalog, experiment.data, experiment.protocol)
    return Study(experiment, dataset, timeline, None)


def baseline_of(study: Study) -> FederatedBaseline:
    """The method. Raises `ConfigError` if the experiment has none."""
    if study.experiment.baseline is None:
        raise ConfigError("[baseline] is missing: this experiment trains the project's own recommender")
    return study.experiment.baseline


class Course:
    """One run. Its state is a `FederationState` whose `parameters` are all that server and clients know, as one vector.

    What is measured after a round is what its clients hold, which the round's start and number determine: the best round is remembered by the state
    that it began with, and its clients are trained once more for the test.
    """

    def __init__(self, study: Study, run: RunDirectory, observer: Observer, *, resume: bool) -> None:
        """`resume`: from the last checkpoint. Raises `CheckpointError` if it does not fit."""
        self.study = study
        self.run_directory = run
        self.observer = observer
        self.method = baseline_of(study)
        self.positives = Positives.of(study.timeline, self.method)
        self.participants = torch.from_numpy(np.sort(self.positives.participants))
        self.measuring = Measuring(study, run, observer)
        self.initial = self.method.initial(study.clients, len(study.dataset.catalog), study.experiment.seed)
        saved = load_checkpoint(run, self.schema, study.clients) if resume else None
        asked, before, last = (np.zeros(study.clients, dtype=np.int32) for _ in range(3))
        self.state = saved or FederationState(self.initial.flat().numpy(), {}, asked, before, last)

    @property
    def schema(self) -> str:
        """Names and shapes of all parameters; a checkpoint of others does not fit."""
        tensors = {**self.initial.shared, **self.initial.personal}
        told = self.method.name + "".join(f"/{name}{tuple(values.shape)}" for name, values in tensors.items())
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def run(self) -> FederationState:
        """All rounds that remain, and the test of the best."""
        if self.state.round == 0:
            self.measuring.validate_baseline(0)
        while self.state.round < self.rounds:
            self._round()
        self._test()
        return self.state

    @property
    def rounds(self) -> int:
        """Of the whole run."""
        return self.study.experiment.federation.rounds

    def _round(self) -> None:
        started = time.monotonic()
        begin, number = self.state.parameters, self.state.round + 1
        clients, after = self._trained(begin, number)
        self.state.round = number
        self.state.parameters = after.flat().numpy()
        self._account(time.monotonic() - started)
        evaluation, federation = self.study.experiment.evaluation, self.study.experiment.federation
        if number % evaluation.every == 0 or number == self.rounds:
            self._validate(begin, clients, after)
        if number % federation.checkpoint_every == 0 or number == self.rounds:
            save_checkpoint(self.run_directory, self.state, self.schema)

    def _trained(self, begin: NDArray[np.float32], number: int) -> tuple[Clients, State]:
        """(the clients after a round's local training, what the server makes of them), from the round's begin and number alone."""
        before = self._state(begin)
        trained = ((torch.from_numpy(block.users), self.method.train(before, block)) for block in self._blocks(number))
        clients = gathered(before, trained)
        return clients, self.method.aggregate(before, clients, self.participants)

    def _blocks(self, number: int) -> Iterator[Block]:
        return blocks(self.positives, self.method, self.study.experiment.seed, number)

    def _state(self, flat: NDArray[np.float32]) -> State:
        return self.initial.from_flat(torch.from_numpy(flat))

    def _validate(self, begin: NDArray[np.float32], clients: Clients, after: State) -> None:
        """Measures a round; the best is kept by what it began with."""
        published, (name, other) = self._scorers(begin, self.state.round, clients, after)
        value = self.measuring.validate(published, 0, self.state.round)
        self.measuring.beside(other, name, "validation", 0, self.state.round)
        if self.state.best is None or value > self.state.best.value:
            self.state.best = Best(value, self.state.round, begin)

    def _test(self) -> None:
        best = self.state.best
        if best is None:
            raise ConfigError("federation.rounds: no round has been measured, so there is nothing to test")
        trained = self._trained(best.parameters, best.round)
        published, (name, other) = self._scorers(best.parameters, best.round, *trained)
        self.state.test += self.measuring.test(published, 0, best.round)
        self.state.test += self.measuring.beside(other, name, "test", 0, best.round)

    def _scorers(
        self, begin: NDArray[np.float32], number: int, clients: Clients, after: State
    ) -> tuple[Scorer, tuple[str, Scorer]]:
        """(what the paper measures, the name and the scorer of the other), after a round."""
        received = self.method.received(after, clients, self._blocks(number))
        own: Scorer = OwnScorer(self.method, clients, self._state(begin).shared[ITEMS])
        aggregated: Scorer = AggregatedScorer(self.method, received, after.shared[ITEMS])
        return (own, (AGGREGATED, aggregated)) if self.method.own_items else (aggregated, (OWN_ITEMS, own))

    def _account(self, seconds: float) -> None:
        count = len(self.participants)
        up, down = (count * size for size in self.method.traffic(self.initial))
        record: dict[str, int | float | None] = {
            "period": 0,
            "round": self.state.round,
            "clients": count,
            "failed": 0,
            "seconds": round(seconds, 4),
            "bytes_up": up,
            "bytes_down": down,
            "epsilon": None,
        }
        self.state.totals.add_round(clients=count, seconds=seconds, bytes_up=up, bytes_down=down)
        self.state.participations[self.participants.numpy()] += 1
        self.run_directory.append("rounds", record)
        self.observer.round_done(record, [])
