"""Local training without privacy: gradient steps on the mean loss of each client's examples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.data.ranges import flat_ranges
from everbloom.learning.cohort.batches import Batch, Cohort, make_batch, pieces, units_of
from everbloom.learning.cohort.budget import Budget
from everbloom.learning.cohort.forward import forward, signals_of
from everbloom.learning.cohort.personal import PersonalWeights
from everbloom.learning.cohort.places import Places, RowNumbers, own_tables, touched_items
from everbloom.learning.cohort.table import ItemTable
from everbloom.learning.cohort.weights import ClientDeltas, ClientWeights, DenseDeltas, SharedWeights, Skeleton
from everbloom.learning.masks import draw_masks
from everbloom.learning.teacher import Teacher
from everbloom.models.recommender import Signals


class PlainTraining:
    """Steps on exact gradients. `skeleton` is the model without its parameters."""

    def __init__(self, skeleton: Skeleton, learning: LearningConfig, budget: Budget) -> None:
        self.skeleton = skeleton
        self.model = skeleton.model
        self.learning = learning
        self.budget = budget
        self.teacher: Teacher | None = None

    def together(self, start: torch.Tensor, cohort: Cohort, personal: PersonalWeights) -> torch.Tensor:
        """Sum of the clients' deltas [params] after one step from `start` [params].

        Everybody's first step is from the same parameters, so the sum of the gradients is the gradient of a sum.
        """
        self.budget.check(self.model.history, own_parameters=False)
        numbers = RowNumbers(self.model.item.items, touched_items(cohort), self.skeleton.device)
        weights = SharedWeights(self.skeleton, start, numbers.rows)
        table = ItemTable(self.model.item, numbers.rows, self.budget.kept)
        every = np.arange(len(cohort.examples))
        masks = draw_masks(self.model, cohort.dropout, cohort.counts, step=0)
        share = _share(cohort).to(self.skeleton.device)
        units = units_of(cohort, every, self.budget.most_examples(self.model.history))
        for which in pieces(units, self.budget.batch, self.budget.example_cost(units.length)):
            batch = make_batch(cohort, units, which, masks, self.model.item.items).to(self.skeleton.device)
            places = Places(numbers.of(batch.examples.items), numbers.of(batch.negatives))
            personal.select(batch.client)
            self._backward(table, batch, places, share)
            personal.collect()
        personal.step(self.learning.personal_rate)
        table.backward()
        return weights.gradient().mul_(-self.learning.learning_rate)

    def apart(
        self, start: torch.Tensor, cohort: Cohort, personal: PersonalWeights
    ) -> Iterator[ClientDeltas | DenseDeltas]:
        """Clients' deltas after all their steps, some clients at a time; clients without examples are left out."""
        share = _share(cohort).to(self.skeleton.device)
        masks = [
            draw_masks(self.model, cohort.dropout, cohort.counts, step) for step in range(self.learning.local_steps)
        ]
        for some in self.budget.groups(cohort, idle=False):
            rows, parts = self._parts(cohort, some)
            weights = self._weights(start, rows, some)
            for step, step_masks in enumerate(masks):
                weights.install()
                table = ItemTable(self.model.item, rows, self.budget.kept)
                for part in parts:
                    weights.select(part.clients)
                    personal.select(part.batch.client)
                    self._backward(table, part.with_masks(step_masks), part.places, share, part.signals)
                    weights.collect()
                    personal.collect()
                table.backward()
                shared, own = self.learning.moves(step)
                weights.step(self.learning.learning_rate if shared else 0.0, self.learning.pull)
                personal.step(self.learning.personal_rate if own else 0.0)
            yield weights.deltas(some)

    def _weights(self, start: torch.Tensor, rows: torch.Tensor, some: NDArray[np.int64]) -> ClientWeights:
        """Parameters of the clients `some`, all beginning at `start` [params]; `rows` [clients, rows] of the item tables that each reads."""
        return ClientWeights(self.skeleton, start, rows)

    def _parts(self, cohort: Cohort, some: NDArray[np.int64]) -> tuple[torch.Tensor, list["_Part"]]:
        """The items [clients, rows] that each of the clients `some` reads, and the batches of their examples: the same in every step."""
        first, device = cohort.first[some], self.skeleton.device
        _, examples = flat_ranges(first, first + cohort.counts[some])
        rows, own, other = own_tables(cohort, examples, some)
        rows, offset = rows.to(device), torch.arange(len(some)) * rows.shape[1]
        parts = []
        units = units_of(cohort, examples, self.budget.most_examples(self.model.history))
        for which in pieces(units, self.budget.batch, self.budget.example_cost(units.length)):
            batch = make_batch(cohort, units, which, None, self.model.item.items)
            clients = torch.from_numpy(np.searchsorted(some, units.client[which]))
            mine = torch.from_numpy(np.searchsorted(examples, batch.rows.numpy()))
            shift = offset[clients].repeat_interleave(len(batch.rows) // len(which))
            places = Places(
                own[mine, : batch.length] + shift.unsqueeze(1), other[clients] + offset[clients].unsqueeze(1)
            )
            moved = batch.to(device)
            signals = signals_of(self.model, moved)
            parts.append(_Part(moved, batch.rows, Places(*(p.to(device) for p in places)), clients.to(device), signals))
        return rows, parts

    def _backward(
        self, table: ItemTable, batch: Batch, places: Places, share: torch.Tensor, signals: Signals | None = None
    ) -> None:
        signals = signals_of(self.model, batch) if signals is None else signals
        passed = forward(self.model, self.learning.objective, table, batch, places, signals, self.teacher)
        (passed.losses * (share[batch.rows] * batch.real)).sum().backward()
        for place, (vectors, bias) in zip(places, (passed.own, passed.other), strict=True):
            table.collect(place, vectors.grad, bias.grad)


def _share(cohort: Cohort) -> torch.Tensor:
    """[examples] each one's weight in its client's mean."""
    counts = torch.from_numpy(cohort.counts)
    return torch.repeat_interleave(1 / counts.clamp(min=1), counts)


@dataclass(frozen=True, eq=False)
class _Part:
    """A batch that is gone through in every step. `rows` its examples in the cohort, `clients` [units] whose parameters it meets, in the group."""

    batch: Batch
    rows: torch.Tensor
    places: Places
    clients: torch.Tensor
    signals: Signals

    def with_masks(self, masks: torch.Tensor | None) -> Batch:
        """The batch with its part of a step's masks [examples of the cohort, ...]."""
        if masks is None:
            return self.batch
        return self.batch.masked(masks[self.rows, :, : self.batch.length].to(self.batch.rows.device))
