"""Central training of the same model on pooled data, without privacy: the upper bound that a federation is held against."""

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
        examples, share = self._examples(self.timeline.window(period), rng)
        self.model.train()
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "pooled-dropout", period=period, round=epoch))
            for rows in torch.from_numpy(rng.permutation(len(examples))).split(self.central.batch):
                total += self._step(examples.take(rows), share[rows], rng) * len(rows)
        return total / max(len(examples), 1)

    def _step(self, batch: Examples, share: torch.Tensor, rng: np.random.Generator) -> float:
        negatives = draw_negatives(self.model.item.items, self.learning.negatives, rng)
        scores = self.model(batch.items, batch.behaviour, negatives.unsqueeze(0), batch.place)
        losses = self.learning.objective.per_example(scores, build_candidates(batch, negatives, self.model.item.items))
        loss = (losses * share).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _examples(self, window: TrainingWindow, rng: np.random.Generator) -> tuple[Examples, torch.Tensor]:
        """Everybody's examples of one epoch, windows laid anew each time, and each one's weight [examples], 1 on average."""
        log, weight = self.timeline.log, self.timeline.weight
        length = self.model.history
        parts = [
            build_examples(log.of(user), weight[log.rows(user)], window, self.learning, length, disjoint=False, rng=rng)
            for user in range(log.users)
        ]
        examples = Examples(
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("items", "behaviour", "real", "weight", "place")
            )
        )
        if self.central.weighting == "example":
            return examples, torch.ones(len(examples))
        sizes = torch.tensor([len(part) for part in parts if len(part)])
        share = torch.repeat_interleave(1 / sizes, sizes) * len(examples) / max(len(sizes), 1)
        return examples, share
