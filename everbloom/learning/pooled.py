"""Central training of the same model on pooled data, without privacy: the upper bound that a federation is held against."""

from collections.abc import Iterator

import numpy as np
import torch

from everbloom.config import CentralConfig, LearningConfig
from everbloom.data.timeline import Timeline, TrainingWindow
from everbloom.learning.candidates import build_candidates, draw_negatives
from everbloom.learning.examples import Examples, build_examples
from everbloom.models.recommender import Recommender
from everbloom.seeding import derive, numpy_generator


class PooledTrainer:
    """Adam over shuffled minibatches of everybody's examples; the same examples, candidates and objective as on the devices."""

    def __init__(
        self, model: Recommender, timeline: Timeline, learning: LearningConfig, central: CentralConfig, seed: int
    ) -> None:
        self.model = model
        self.timeline = timeline
        self.learning = learning
        self.central = central
        self.seed = seed
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=central.learning_rate, weight_decay=central.weight_decay
        )

    def epoch(self, period: int, epoch: int) -> float:
        """One pass over the period's examples; returns their mean loss."""
        rng = numpy_generator(self.seed, "pooled", period=period, round=epoch)
        examples = self._examples(self.timeline.window(period), rng)
        self.model.train()
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "pooled-dropout", period=period, round=epoch))
            for batch in _batches(examples, self.central.batch, rng):
                total += self._step(batch, rng) * len(batch)
        return total / max(len(examples), 1)

    def _step(self, batch: Examples, rng: np.random.Generator) -> float:
        negatives = draw_negatives(self.model.item.items, self.learning.negatives, rng)
        scores = self.model(batch.items, batch.behaviour, negatives.unsqueeze(0), batch.place)
        loss = self.learning.objective.per_example(
            scores, build_candidates(batch, negatives, self.model.item.items)
        ).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _examples(self, window: TrainingWindow, rng: np.random.Generator) -> Examples:
        """Everybody's examples of one epoch; windows are laid anew each time."""
        log, weight = self.timeline.log, self.timeline.weight
        length = self.model.history
        parts = [
            build_examples(log.of(user), weight[log.rows(user)], window, self.learning, length, disjoint=False, rng=rng)
            for user in range(log.users)
        ]
        return Examples(
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("items", "behaviour", "real", "weight", "place")
            )
        )


def _batches(examples: Examples, size: int, rng: np.random.Generator) -> Iterator[Examples]:
    for rows in torch.from_numpy(rng.permutation(len(examples))).split(size):
        yield examples.take(rows)
