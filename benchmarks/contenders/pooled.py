"""Pooled minibatch training of the same examples: what the arithmetic costs when nobody keeps anything apart.

Plain gradient steps on minibatches of examples of about one length, in random order, with negatives drawn once a minibatch; as many passes as a
client takes local steps; examples are built once a round. It is no federation and its updates are others: a floor.

`python -m benchmarks.contenders.pooled FOLDER [THREADS]`.
"""

import sys
import time

import numpy as np
import torch

from benchmarks.opened import Workload, from_arguments
from benchmarks.protocol import serve
from everbloom.learning.candidates import build_candidates
from everbloom.learning.examples import Examples, build_examples
from everbloom.seeding import numpy_generator

BATCHES = (512, 256, 128, 64, 32, 16)
"""Sizes of minibatches that are tried, until one is slower than the one before; the fastest is measured."""


class Pooled:
    """Minibatch SGD on the examples of a round's clients."""

    def __init__(self, workload: Workload, batch: int) -> None:
        self.workload = workload
        self.batch = batch
        self.model = workload.study.new_model().train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)

    def one_round(self, number: int) -> tuple[int, float]:
        """(clients whose examples were learnt, 0)."""
        study = self.workload.study
        learning = study.experiment.learning
        clients = self.workload.cohort(number)
        events = study.dataset.events
        rows = np.concatenate([np.arange(events.offsets[c], events.offsets[c + 1]) for c in clients])
        examples, _ = build_examples(
            events.histories(clients),
            study.timeline.weight[rows],
            self.workload.window,
            learning,
            self.model.history,
            disjoint=study.plan is not None,
            draws=self.workload.draws(clients, number),
        )
        sizes = examples.real.sum(dim=1).numpy()
        private = None if study.plan is None else study.plan.dp_sgd
        rate = 1.0 if private is None else private.sample_rate
        rng = numpy_generator(study.experiment.seed, "pooled", round=number)
        for _ in range(learning.local_steps):
            order = rng.permutation(len(examples))[: round(rate * len(examples))]
            order = order[np.argsort(sizes[order], kind="stable")]
            batches = torch.from_numpy(order).split(self.batch)
            for place in rng.permutation(len(batches)):
                self._step(_cut(examples.take(batches[place])), rng)
        return len(clients), 0.0

    def _step(self, batch: Examples, rng: np.random.Generator) -> None:
        items = self.model.item.items
        learning = self.workload.study.experiment.learning
        negatives = torch.from_numpy(rng.integers(items, size=(1, learning.negatives)))
        scores = self.model(batch.items, batch.circumstances, negatives, batch.place, None)
        loss = learning.objective.per_example(scores, build_candidates(batch, negatives, items)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def _cut(batch: Examples) -> Examples:
    """Without the positions that are padding in all of its examples."""
    longest = int(batch.real.sum(dim=1).max())
    whole = batch.place.shape[1] == batch.items.shape[1]
    place = batch.place[:, :longest] if whole else batch.place
    parts = (part[:, :longest] for part in (batch.items, batch.behaviour, batch.real, batch.weight))
    return Examples(*parts, place, batch.gap[:, :longest])


def fastest(workload: Workload, threads: int) -> Pooled:
    """The best size of a minibatch here, by the second of two rounds each."""
    # The processor's time is not disturbed by others, but with several threads it is not what counts.
    clock = time.process_time if threads == 1 else time.perf_counter
    best, least = BATCHES[0], float("inf")
    for batch in BATCHES:
        trial = Pooled(workload, batch)
        trial.one_round(1)
        started = clock()
        trial.one_round(2)
        took = clock() - started
        if took > 1.1 * least:
            break
        if took < least:
            best, least = batch, took
    return Pooled(workload, best)


if __name__ == "__main__":
    opened = from_arguments()
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    torch.set_num_threads(threads)
    chosen = fastest(opened, threads)
    serve(chosen.one_round, threads=threads, batch=chosen.batch, **opened.facts())
