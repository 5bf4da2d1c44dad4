"""Clients that choose one of several models by its loss on their own examples, and train that one (IFCA)."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.models.copies import Copies


def best_copies(
    losses: NDArray[np.float32], counts: NDArray[np.int64], kept: NDArray[np.float32] | None
) -> NDArray[np.int64]:
    """[clients] the copy of least mean loss, the first of equal ones. `losses` [copies, examples] one client after the other, `counts` [clients] of
    them; who has none stays with what it `kept` [clients, 1] (`chosen`), or the first."""
    owner = np.repeat(np.arange(len(counts)), counts)
    sums = np.stack([np.bincount(owner, weights=row, minlength=len(counts)) for row in losses])
    best = np.where(np.isnan(sums), np.inf, sums).argmin(axis=0)
    before = np.full(len(counts), -1) if kept is None else chosen(kept)
    found: NDArray[np.int64] = np.where(counts > 0, best, np.maximum(before, 0))
    return found


def chosen(kept: NDArray[np.float32]) -> NDArray[np.int64]:
    """[clients] the copy that each chose last, of what it `kept` [clients, 1]; -1: none yet."""
    return kept[:, 0].astype(np.int64) - 1


def served_copy(kept: NDArray[np.float32]) -> int:
    """Which copy serves the user of a device that has `kept` [1]: its last choice, or the first, since it does not know what others chose."""
    return max(0, int(chosen(kept[None])[0]))


def remembered(choice: NDArray[np.int64], counts: NDArray[np.int64], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """[clients, 1] to be kept of a `choice` [clients]: as it was of those who had no example to choose by."""
    return np.where(counts[:, None] > 0, choice[:, None] + 1, kept).astype(np.float32)


def clustered_update(
    trainer: LocalTrainer,
    copies: Copies,
    parameters: NDArray[np.float32],
    examples: Examples,
    negatives: torch.Tensor,
    draws: Draws,
    kept: NDArray[np.float32],
) -> NDArray[np.float32]:
    """One client's delta [params] of all copies, of which one is not 0; `parameters` [params] of all copies. Else as `LocalTrainer.update`, with
    `kept` [1]. `trainer` is of one copy's model."""
    counts, nothing = np.array([len(examples)]), np.zeros(0, dtype=np.float32)
    losses = [
        trainer.losses(copies.taken(parameters, copy), examples, negatives, nothing) for copy in range(copies.number)
    ]
    choice = best_copies(np.stack(losses), counts, kept[None])
    delta = trainer.update(copies.taken(parameters, int(choice[0])), examples, negatives, draws)
    whole = np.zeros(copies.layout.size(), dtype=np.float32)
    copies.add(whole, int(choice[0]), delta)
    kept[:] = remembered(choice, counts, kept[None])[0]
    return whole
