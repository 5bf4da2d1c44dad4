"""How much is computed at once: as much as the processor's cache holds, and never more than the memory that was allowed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from everbloom.config import LearningConfig, ModelConfig
from everbloom.errors import InputError
from everbloom.learning.cohort.batches import Cohort
from everbloom.models.towers.item import ItemTower

CACHE_BYTES = 16 * 2**20
"""Of activations in one batch. Measured: a quarter of it is a third slower, four times as much is no faster."""

KEPT_BYTES = 2**31
"""Of a tower's activations until the way back, where memory is not limited: those of about 25,000 tokens in two blocks 384 wide."""

MOST_EXAMPLES = 64
"""Of a client in one batch: enough to share what is computed once for them, few enough that pairs of their items are not too many."""

MOST_CLIENTS = 64
"""With parameters of their own at once."""


@dataclass(frozen=True)
class Budget:
    """Bytes: `batch` of one batch's activations, of which each position takes `position`, each candidate's score `score`; `client` of one
    client's own parameters; `fixed` of what there is once. `memory` is the limit for all of it, None for none.

    `scored` positions of an example (None: all), each against `columns` negatives and its own items. `item`: of what leads to one item's vector,
    where each example goes through the item encoder by itself; else 0.
    """

    batch: int
    position: int
    score: int
    scored: int | None
    columns: int
    client: int
    fixed: int
    memory: int | None
    item: int = 0
    kept: int = 0
    """Of what a tower makes of all items that a cohort touches, until the way back; what is beyond it is computed twice."""

    @property
    def whole(self) -> "Budget":
        """For a whole set of parameters for each client, in the place of the rows that it touches."""
        return replace(self, client=2 * self.client)

    def example_cost(self, length: NDArray[np.int64]) -> NDArray[np.int64]:
        """[units] bytes of activations of one example of this many positions."""
        scored = length if self.scored is None else self.scored
        items = (length + self.columns) * self.item
        return length * self.position + scored * (length + self.columns) * self.score + items

    def most_examples(self, length: int) -> int:
        """Examples of `length` positions that a client has in one batch."""
        return int(np.clip(self.batch // int(self.example_cost(np.array([length]))[0]), 1, MOST_EXAMPLES))

    def groups(self, cohort: Cohort, idle: bool) -> Iterator[NDArray[np.int64]]:
        """Clients, ascending, as many at a time as can have parameters of their own; those of a group have about as many examples.

        `idle`: also those without examples. Raises `InputError` if the memory does not suffice for one.
        """
        self.check(cohort.examples.items.shape[1], own_parameters=True)
        most = MOST_CLIENTS
        if self.memory is not None:
            most = min(most, (self.memory - self.fixed - self.batch) // self.client)
        order = np.argsort(cohort.counts, kind="stable")
        order = order if idle else order[cohort.counts[order] > 0]
        for start in range(0, len(order), most):
            yield np.sort(order[start : start + most])

    def check(self, length: int, own_parameters: bool) -> None:
        """Raises `InputError` if one client with examples of `length` positions does not fit."""
        if self.memory is None:
            return
        one = self.fixed + max(self.batch, int(self.example_cost(np.array([length]))[0]))
        one += self.client if own_parameters else 0
        if one > self.memory:
            raise InputError(
                f"runtime.memory_mb: training one client takes about {one / 1e6:,.0f} MB, and {self.memory / 1e6:,.0f} MB are left for it in each "
                "worker; raise the limit, or lower runtime.workers or the model's size"
            )


def make_budget(
    model: ModelConfig,
    learning: LearningConfig,
    parameters: int,
    items: int,
    memory: int | None,
    tower: ItemTower | None = None,
    by_example: bool = False,
    event: int = 0,
) -> Budget:
    """For one model over `items` items and one kind of example. `memory`: bytes for everything that training holds, None for no limit. `by_example`:
    each goes through the item encoder by itself; `event`: bytes of an event in a language model that reads histories."""
    user = model.user
    # Kept for the backward pass, in vectors of dim: norms, query, key, value, what was read, out, twice the hidden layer.
    layer = 8 + 2 * user.feedforward
    lags = model.content.lags if model.content is not None else 0
    # Co-occurrence: its signals twice, and who is the same as whom.
    signals = 10 if model.cooccurrence is not None else 0
    once = 0 if tower is None else tower.pass_bytes
    kept = 0 if tower is None else KEPT_BYTES if memory is None else memory // 4
    cache = max(CACHE_BYTES if not event else 4 * CACHE_BYTES, once)
    return Budget(
        batch=cache if memory is None else min(cache, memory // 8),
        position=4 * model.dim * (6 + user.layers * layer) + event,
        score=4 * (5 + 2 * lags + signals + (2 * model.dim if model.score == "mlp" else 0)),
        scored=1 if learning.examples == "next-item" else None,
        columns=learning.negatives,
        # Its parameters, gradient, start and delta; whole ones also have what steers them and what is remembered.
        client=4 * (8 if learning.steered else 4) * parameters,
        # Parameters, their gradient, the sum, the noise; the touched rows' vectors with their gradients, at worst the whole catalogue's.
        fixed=4 * (6 * parameters + 4 * items * (model.dim + 1)) + 2 * once + kept,
        memory=memory,
        kept=kept,
        item=tower.item_bytes if tower is not None and by_example else 0,
    )
