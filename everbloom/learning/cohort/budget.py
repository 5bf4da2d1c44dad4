"""How much is computed at once: as much as the processor's cache holds, and never more than the memory that was allowed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.config import LearningConfig, ModelConfig
from everbloom.errors import InputError

CACHE_BYTES = 8 * 2**20
"""Of activations in one batch: measured, see benchmarks; a quarter or four times as much is slower."""


@dataclass(frozen=True)
class Budget:
    """`batch`: bytes of activations of one batch; `client_bytes`: of one client's own parameters with their gradients; `memory`: bytes that all of
    it may take, None for no limit."""

    batch: int
    position_bytes: int
    scored_bytes: int
    scored: int | None
    columns: int
    client_bytes: int
    memory: int | None

    def example_cost(self, length: NDArray[np.int64]) -> NDArray[np.int64]:
        """[units] bytes of activations of one example of this many positions."""
        scored = length if self.scored is None else self.scored
        return length * self.position_bytes + scored * (length + self.columns) * self.scored_bytes

    def clients(self, which: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """A batch's clients, as many at a time as can have parameters of their own."""
        most = max(1, self._most_clients())
        for start in range(0, len(which), most):
            yield which[start : start + most]

    def _most_clients(self) -> int:
        if self.memory is None:
            return 64
        return min(64, (self.memory - self.batch) // self.client_bytes)

    def check(self, examples: int, length: int) -> None:
        """Raises `InputError` if one client with so many examples does not fit."""
        if self.memory is None:
            return
        one = self.client_bytes + int(self.example_cost(np.array([length]))[0]) * examples
        if one > self.memory:
            raise InputError(
                f"runtime.memory_mb: training one client with {examples} examples takes about {one / 1e6:,.0f} MB, and {self.memory / 1e6:,.0f} MB are left "
                "for it; raise the limit, or lower runtime.workers, learning.max_examples or the model's size"
            )


def make_budget(model: ModelConfig, learning: LearningConfig, parameters: int, memory: int | None) -> Budget:
    """For one model and one kind of example. `memory`: bytes for everything that training holds, None for no limit."""
    user = model.user
    # Kept for the backward pass, in vectors of dim: norms, query, key, value, what was read, out, twice the hidden layer.
    per_layer = 8 + 2 * user.feedforward
    position = 4 * model.dim * (6 + user.layers * per_layer)
    lags = model.content.lags if model.content is not None else 0
    return Budget(
        batch=CACHE_BYTES if memory is None else min(CACHE_BYTES, memory // 4),
        position_bytes=position,
        scored_bytes=4 * (5 + 2 * lags + (2 * model.dim if model.score == "mlp" else 0)),
        scored=1 if learning.examples == "next-item" else None,
        columns=learning.negatives,
        client_bytes=4 * 4 * parameters,
        memory=memory,
    )
