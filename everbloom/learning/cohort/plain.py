"""Local training without privacy: gradient steps on the mean loss of each client's examples."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.learning.cohort.batches import Batch, Cohort, make_batch, pieces, units_of
from everbloom.learning.cohort.budget import Budget
from everbloom.learning.cohort.forward import Places, distinct, forward, similarities
from everbloom.learning.cohort.table import ItemTable, RowNumbers
from everbloom.learning.cohort.weights import ClientDeltas, ClientWeights, SharedWeights, Skeleton
from everbloom.learning.masks import draw_masks


class PlainTraining:
    """Steps on exact gradients. `skeleton` is the model without its parameters."""

    def __init__(self, skeleton: Skeleton, learning: LearningConfig, budget: Budget) -> None:
        self.skeleton = skeleton
        self.model = skeleton.model
        self.learning = learning
        self.budget = budget

    def together(self, start: torch.Tensor, cohort: Cohort) -> torch.Tensor:
        """Sum of the clients' deltas [params] after one step from `start` [params].

        Everybody's first step is from the same parameters, so the sum of the gradients is the gradient of a sum.
        """
        numbers = RowNumbers(self.model.item.items, touched_items(cohort), self.skeleton.device)
        weights = SharedWeights(self.skeleton, start, numbers.rows)
        table = ItemTable(self.model.item, numbers.rows)
        every = np.arange(len(cohort.examples))
        masks = draw_masks(self.model, cohort.dropout, cohort.counts, step=0)
        share = _share(cohort).to(self.skeleton.device)
        units = units_of(cohort, every, parted=True)
        for which in pieces(units, self.budget.batch, self.budget.example_cost(units.length)):
            batch = make_batch(cohort, units, which, masks, self.model.item.items).to(self.skeleton.device)
            places = Places(numbers.of(batch.examples.items), numbers.of(batch.negatives))
            self._backward(table, batch, places, share)
        table.backward()
        return weights.gradient().mul_(-self.learning.learning_rate)

    def apart(self, start: torch.Tensor, cohort: Cohort) -> Iterator[ClientDeltas]:
        """Clients' deltas after all their steps, some clients at a time; clients without examples are left out."""
        share = _share(cohort).to(self.skeleton.device)
        units = units_of(cohort, np.arange(len(cohort.examples)), parted=False)
        masks = [
            draw_masks(self.model, cohort.dropout, cohort.counts, step) for step in range(self.learning.local_steps)
        ]
        for which in pieces(units, self.budget.batch, self.budget.example_cost(units.length)):
            for some in self.budget.clients(which):
                batch = make_batch(cohort, units, some, None, self.model.item.items)
                step_rows, batch = batch.rows, batch.to(self.skeleton.device)
                rows, places = client_tables(batch)
                weights = ClientWeights(self.skeleton, start, rows)
                similar = None if self.model.content is None else similarities(self.model.content, batch)
                for step_masks in masks:
                    mine = (
                        None if step_masks is None else step_masks[step_rows, :, : batch.length].to(batch.rows.device)
                    )
                    weights.install()
                    table = ItemTable(self.model.item, rows)
                    self._backward(table, batch.masked(mine), places, share, similar)
                    table.backward()
                    weights.step(self.learning.learning_rate, self.learning.proximal_mu)
                yield weights.deltas(units.client[some])

    def _backward(
        self, table: ItemTable, batch: Batch, places: Places, share: torch.Tensor, similar: torch.Tensor | None = None
    ) -> None:
        if self.model.content is not None and similar is None:
            similar = similarities(self.model.content, batch)
        passed = forward(self.model, self.learning.objective, table, batch, places, similar)
        (passed.losses * (share[batch.rows] * batch.real)).sum().backward()
        for place, (vectors, bias) in zip(places, (passed.own, passed.other), strict=True):
            table.collect(place, vectors.grad, bias.grad)


def _share(cohort: Cohort) -> torch.Tensor:
    """[examples] each one's weight in its client's mean."""
    counts = torch.from_numpy(cohort.counts)
    return torch.repeat_interleave(1 / counts.clamp(min=1), counts)


def touched_items(cohort: Cohort) -> NDArray[np.int64]:
    """All items that the cohort reads, with repeats; 0 among them, which padding points to."""
    return np.concatenate(([0], cohort.examples.items.numpy().reshape(-1), cohort.negatives.numpy().reshape(-1)))


def client_tables(batch: Batch) -> tuple[torch.Tensor, Places]:
    """(rows [clients, rows]: the items that each client reads, places in these tables laid one after the other)."""
    units, k = batch.negatives.shape
    rows, local = distinct(torch.cat([batch.examples.items.view(units, -1), batch.negatives], dim=1))
    flat = local + torch.arange(units, device=local.device).unsqueeze(1) * rows.shape[1]
    return rows, Places(flat[:, :-k].reshape(batch.examples.items.shape), flat[:, -k:])
