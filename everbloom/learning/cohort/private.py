"""Local training under the plan: clipped per-example gradients and the device's own noise, number for number what Opacus computes on a device."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.learning.cohort import item_norms, norms
from everbloom.learning.cohort.batches import Batch, Cohort, make_batch, pieces, units_of
from everbloom.learning.cohort.budget import Budget
from everbloom.learning.cohort.by_example import Clipped, clipped_by_example
from everbloom.learning.cohort.forward import forward, signals_of
from everbloom.learning.cohort.personal import PersonalWeights
from everbloom.learning.cohort.places import Places, RowNumbers, client_tables, example_tables, touched_items
from everbloom.learning.cohort.table import ItemTable
from everbloom.learning.cohort.weights import DenseDeltas, PrivateWeights, SharedWeights, Skeleton
from everbloom.learning.local import Draws
from everbloom.learning.masks import draw_masks
from everbloom.learning.teacher import Teacher
from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.privacy.noise import NoiseSource


class PrivateTraining:
    """DP-SGD steps of a plan. `skeleton` is the model without its parameters; personal ones, which `check_model` refuses here, it has none."""

    def __init__(self, skeleton: Skeleton, learning: LearningConfig, plan: DpSgdPlan, budget: Budget) -> None:
        self.skeleton = skeleton
        self.model = skeleton.model
        self.learning = learning
        self.plan = plan
        self.budget = budget
        self.teacher: Teacher | None = None
        self.rate = learning.learning_rate / plan.denominator

    def together(self, start: torch.Tensor, cohort: Cohort, personal: PersonalWeights) -> torch.Tensor:
        """Sum of the clients' deltas [params] after one step from `start` [params]."""
        self.budget.check(self.model.history, own_parameters=False)
        draws = cohort.fresh_draws()
        every = np.concatenate([self._sample(cohort, client, draws[client]) for client in range(len(cohort))])
        numbers = RowNumbers(self.model.item.items, touched_items(cohort), self.skeleton.device)
        weights = SharedWeights(self.skeleton, start, numbers.rows)
        table = ItemTable(self.model.item, numbers.rows) if self.model.item.linear else None
        units = units_of(cohort, every, self.budget.most_examples(self.model.history))
        masks = draw_masks(self.model, cohort.dropout, cohort.counts, step=0)
        for which in pieces(units, self.budget.batch, self.budget.example_cost(units.length)):
            batch = make_batch(cohort, units, which, masks, self.model.item.items).to(self.skeleton.device)
            if table is None:
                self._add_by_example(weights, numbers, batch)
            else:
                places = Places(numbers.of(batch.examples.items), numbers.of(batch.negatives))
                for name, gradient in self._clipped(table, batch, places, clients=None).items():
                    weights.add(name, gradient)
        if table is not None:
            table.backward()
        total = weights.gradient()
        noise, own = torch.zeros(self.skeleton.size), torch.zeros(self.skeleton.size)
        for client in draws:
            noise += self._noise(own, client.noise)
        total += noise.to(total.device)
        return total.mul_(-self.rate)

    def apart(self, start: torch.Tensor, cohort: Cohort, personal: PersonalWeights) -> Iterator[DenseDeltas]:
        """Clients' deltas after all their steps, some clients at a time; clients without examples send noise."""
        draws = cohort.fresh_draws()
        masks = [
            draw_masks(self.model, cohort.dropout, cohort.counts, step) for step in range(self.plan.steps_per_round)
        ]
        for some in self.budget.groups(cohort, idle=True):
            weights = PrivateWeights(self.skeleton, start, len(some))
            for step_masks in masks:
                self._step(weights, cohort, draws, some, step_masks)
            yield weights.deltas(some)

    def _step(
        self,
        weights: PrivateWeights,
        cohort: Cohort,
        draws: tuple[Draws, ...],
        some: NDArray[np.int64],
        masks: torch.Tensor | None,
    ) -> None:
        """One step of the clients `some`, each on its own sample and from its own parameters."""
        rows = np.sort(np.concatenate([self._sample(cohort, client, draws[client]) for client in some.tolist()]))
        units = units_of(cohort, rows, self.budget.most_examples(self.model.history))
        where = np.empty(len(cohort), dtype=np.int64)
        where[some] = np.arange(len(some))
        for which in pieces(units, self.budget.batch, self.budget.example_cost(units.length)):
            batch = make_batch(cohort, units, which, masks, self.model.item.items).to(self.skeleton.device)
            mine = torch.from_numpy(where[units.client[which]]).to(self.skeleton.device)
            table_rows, places = client_tables(batch)
            weights.install(mine, table_rows)
            if self.model.item.linear:
                table = ItemTable(self.model.item, table_rows)
                clipped = self._clipped(table, batch, places, clients=len(which))
                table.backward()
                weights.collect(mine, table_rows, clipped)
            else:
                self._collect_by_example(weights, mine, table_rows, batch)
        noise = torch.zeros(self.skeleton.size)
        for place, client in enumerate(some.tolist()):
            weights.gradient[place] += self._noise(noise, draws[client].noise).to(self.skeleton.device)
        weights.step(self.rate, self.learning.learning_rate * self.learning.proximal_mu)

    def _add_by_example(self, weights: SharedWeights, numbers: RowNumbers, batch: Batch) -> None:
        """Adds the clipped gradients of a batch that meets everybody's parameters."""
        rows, places = example_tables(batch)
        read = numbers.of(rows)
        weights.read(read)
        clipped = self._clipped_by_example(batch, rows, places, clients=None)
        for name, gradient in clipped.dense.items():
            weights.add(name, gradient)
        for name, gradient in clipped.rows.items():
            weights.add_rows(name, read, gradient)

    def _collect_by_example(
        self, weights: PrivateWeights, mine: torch.Tensor, table_rows: torch.Tensor, batch: Batch
    ) -> None:
        """The same for clients with parameters of their own, those at `mine` [units], which are installed."""
        rows, places = example_tables(batch)
        owner = mine.repeat_interleave(len(rows) // len(mine))
        weights.read(owner, rows)
        clipped = self._clipped_by_example(batch, rows, places, clients=len(mine))
        weights.collect(mine, table_rows, clipped.dense)
        for name, gradient in clipped.rows.items():
            weights.add_rows(name, owner, rows, gradient)

    def _clipped_by_example(self, batch: Batch, rows: torch.Tensor, places: Places, clients: int | None) -> Clipped:
        return clipped_by_example(
            self.skeleton, self.learning.objective, batch, rows, places, self.teacher, self._clip_factor, clients
        )

    def _clipped(self, table: ItemTable, batch: Batch, places: Places, clients: int | None) -> dict[str, torch.Tensor]:
        """Sums of the clipped gradients of all parameters but the item encoder's, whose part is left in the table."""
        if not self.model.score.bilinear:
            each = len(batch.examples) // len(batch.negatives)
            places = Places(places.own, places.other.repeat_interleave(each, dim=0))
        layers = self.skeleton.layers
        layers.taps = []
        try:
            signals = signals_of(self.model, batch)
            passed = forward(self.model, self.learning.objective, table, batch, places, signals, self.teacher)
            taps = layers.taps
        finally:
            layers.taps = None
        wanted = [*passed.own, *passed.other, passed.other_scores, *(tap.out for tap in taps)]
        loss = (passed.losses * batch.real).sum()
        own, own_bias, other, other_bias, scores, *back = torch.autograd.grad(loss, wanted, allow_unused=True)
        items = (
            item_norms.of_product(own, own_bias, passed.users, scores)
            if self.model.score.bilinear
            else item_norms.of_vectors(own, own_bias, other, other_bias)
        )
        uses = norms.uses_of(taps, back, len(batch.examples))
        with torch.no_grad():
            factor = self._factor(batch, items, uses)
            self._collect(table, places, items, factor)
            return {
                f"{layer}.{name}": gradient
                for layer, use in uses.items()
                for name, gradient in norms.weighted_gradient(layers.modules[layer], use, factor, clients).items()
            }

    def _factor(self, batch: Batch, items: item_norms.ItemGradients, uses: dict[str, norms.Use]) -> torch.Tensor:
        """[examples] what each gradient is multiplied with to be clipped; nothing for padding."""
        squared = item_norms.squared_norm(self.model.item, batch, items)
        for layer, use in uses.items():
            squared = squared + norms.squared_norm(self.skeleton.layers.modules[layer], use)
        return self._clip_factor(batch, squared)

    def _clip_factor(self, batch: Batch, squared: torch.Tensor) -> torch.Tensor:
        """[examples] from squared norms [examples]."""
        return (self.plan.clip_norm / (squared.sqrt() + 1e-6)).clamp(max=1.0) * batch.real

    def _collect(self, table: ItemTable, places: Places, items: item_norms.ItemGradients, factor: torch.Tensor) -> None:
        """Adds the clipped gradients of item vectors and biases to the table."""
        table.collect(places.own, items.own * factor.view(-1, 1, 1), items.own_bias * factor.view(-1, 1))
        units, k = places.other.shape
        if self.model.score.bilinear:
            left = (items.left * factor.view(-1, 1, 1)).reshape(units, -1, k)
            vectors = left.transpose(1, 2) @ items.right.reshape(units, left.shape[1], -1)
            table.collect(places.other, vectors, left.sum(dim=1))
        else:
            table.collect(places.other, items.right * factor.view(-1, 1, 1), items.other_bias * factor.view(-1, 1))

    def _sample(self, cohort: Cohort, client: int, draws: Draws) -> NDArray[np.int64]:
        """Rows of the examples that a client's next step reads."""
        count, first = int(cohort.counts[client]), int(cohort.first[client])
        if self.plan.sample_rate == 1:
            return np.arange(first, first + count)
        chosen = torch.rand(count, generator=draws.sampling) < self.plan.sample_rate
        return first + np.flatnonzero(chosen.numpy())

    def _noise(self, buffer: torch.Tensor, source: NoiseSource) -> torch.Tensor:
        """Fills `buffer` [params] with a device's next noise, parameter by parameter as Opacus draws it; what is not learnt gets none."""
        deviation = self.plan.noise_multiplier * self.plan.clip_norm
        for start, end in self.skeleton.segments:
            source.normal(buffer[start:end], deviation)
        return buffer
