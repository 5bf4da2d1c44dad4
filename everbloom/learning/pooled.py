"""Central training of the same model on pooled data, without privacy: the upper bound that a federation is held against."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import CentralConfig, LearningConfig
from everbloom.data.timeline import Timeline
from everbloom.learning.candidates import build_candidates, known_items
from everbloom.learning.examples import Examples, build_examples
from everbloom.learning.masks import draw_masks
from everbloom.models.recommender import Recommender
from everbloom.seeding import PublicDraws, keys, numpy_generator


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
        clients = np.arange(self.timeline.log.users)
        draws = PublicDraws(self.seed, clients, period, epoch)
        examples, counts = build_examples(
            self.timeline.log.histories(clients),
            self.timeline.weight,
            self.timeline.window(period),
            self.learning,
            self.model.history,
            disjoint=False,
            draws=draws,
        )
        share = self._share(counts, examples)
        known = known_items(self.timeline.catalog.first_seen, self.timeline.window(period))
        starts = keys(self.seed, "pooled-dropout", clients, period=period, round=epoch)
        masks = draw_masks(self.model, starts, counts, step=0)
        total = 0.0
        for rows in torch.from_numpy(rng.permutation(len(examples))).split(self.central.batch):
            part = None if masks is None else masks[rows]
            total += self._step(examples.take(rows), part, share[rows], known, rng) * len(rows)
        return total / max(len(examples), 1)

    def _step(
        self,
        batch: Examples,
        masks: torch.Tensor | None,
        share: torch.Tensor,
        known: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> float:
        groups = len(batch) if self.central.own_negatives else 1
        negatives = torch.from_numpy(known[rng.integers(len(known), size=(groups, self.learning.negatives))])
        scores = self.model(batch.items, batch.circumstances, negatives, batch.place, masks)
        losses = self.learning.objective.per_example(scores, build_candidates(batch, negatives, self.model.item.items))
        loss = (losses * share).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _share(self, counts: NDArray[np.int64], examples: Examples) -> torch.Tensor:
        """[examples] each one's weight, 1 on average."""
        if self.central.weighting == "example":
            return torch.ones(int(counts.sum()))
        if self.central.weighting == "position":
            learnt = examples.weight.sum(dim=1)
            return learnt * len(learnt) / learnt.sum()
        sizes = torch.from_numpy(counts[counts > 0])
        return torch.repeat_interleave(1 / sizes, sizes) * sizes.sum() / max(len(sizes), 1)
