"""The examples of a block of clients in one round: own positives, redrawn negatives, in each client's own random order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.federated_baselines.positives import Positives
from everbloom.methods import FederatedBaseline
from everbloom.seeding import uniforms

_EXAMPLES = 1 << 17
"""Padded examples of a block: some megabytes of embeddings at a time."""
_CLIENTS = 128


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's examples of the first `clients` of a block, those that have any left.

    [clients, size]: `items`, `labels` (1 or 0), and `weight`, one over the client's examples in this batch and 0 for padding, so that a weighted
    sum over all is the sum of each client's own mean.
    """

    clients: int
    items: torch.Tensor
    labels: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, eq=False)
class Block:
    """`users` [clients], most examples first. `items`, `labels`: [epochs, clients, longest] in the order of training, padded with item 0;
    `sizes` [clients].
    """

    users: NDArray[np.int64]
    items: torch.Tensor
    labels: torch.Tensor
    sizes: torch.Tensor

    def batches(self, size: int) -> Iterator[Batch]:
        """Each client's examples `size` at a time, epoch by epoch; the last batch of an epoch may be smaller."""
        for items, labels in zip(self.items, self.labels, strict=True):
            for start in range(0, items.shape[1], size):
                left = (self.sizes - start).clamp(max=size)
                clients = int((left > 0).sum())
                if clients == 0:
                    break
                left = left[:clients, None]
                part = slice(start, start + int(left.max()))
                there = torch.arange(int(left.max())) < left
                yield Batch(clients, items[:clients, part], labels[:clients, part], there / left)

    def halves(self) -> tuple["Block", "Block"]:
        """Each client's first half (the smaller) and the rest, in every epoch. A client with one example has it in the rest."""
        first = self.sizes // 2
        longest = int((self.sizes - first).max())
        place = first[:, None] + torch.arange(longest)
        inside = place.clamp(max=self.items.shape[2] - 1).expand(len(self.items), -1, -1)
        support = Block(self.users, self.items, self.labels, first)
        return support, Block(
            self.users, self.items.gather(2, inside), self.labels.gather(2, inside), self.sizes - first
        )


def blocks(positives: Positives, method: FederatedBaseline, seed: int, round: int) -> Iterator[Block]:
    """Every participant's examples of a round. What a client draws depends on (seed, round, client) alone, not on its block."""
    users = positives.participants
    counts = positives.counts[users] * (1 + method.negatives)
    start = 0
    while start < len(users):
        clients = min(_CLIENTS, max(1, _EXAMPLES // int(counts[start])))
        yield block_of(positives, users[start : start + clients], method, seed, round)
        start += clients


def block_of(positives: Positives, users: NDArray[np.int64], method: FederatedBaseline, seed: int, round: int) -> Block:
    """The examples of these clients; `users` with most positives first."""
    own, counts = positives.padded(users)
    negatives = _negatives(positives, users, own.shape[1], method, seed, round)
    items = np.concatenate([own[:, :, None], negatives], axis=2).reshape(len(users), -1)
    labels = np.zeros_like(negatives, shape=(*own.shape, 1 + method.negatives), dtype=np.float32)
    labels[:, :, 0] = 1
    sizes = counts * (1 + method.negatives)
    order = _orders(users, items.shape[1], sizes, method.local_epochs, seed, round)
    everything = np.arange(len(users))[None, :, None]
    return Block(
        users,
        torch.from_numpy(items[everything, order]),
        torch.from_numpy(labels.reshape(len(users), -1)[everything, order]),
        torch.from_numpy(sizes),
    )


def _negatives(
    positives: Positives, users: NDArray[np.int64], longest: int, method: FederatedBaseline, seed: int, round: int
) -> NDArray[np.int64]:
    """[users, longest, negatives]: those of one positive are distinct, uniform among what the user may draw."""
    n = method.negatives
    free = positives.items - np.diff(positives.spared_offsets)[users]
    draws = uniforms(seed, "baseline-negatives", users, longest * n, round=round).reshape(len(users), longest, n)
    ranks = np.floor(draws * (free[:, None, None] - np.arange(n))).astype(np.int64)
    taken = ranks[:, :, :0]
    for place in range(n):  # the r-th of those that are left: step over what was taken, lowest first
        rank = ranks[:, :, place]
        for earlier in range(place):
            rank = rank + (rank >= taken[:, :, earlier])
        taken = np.sort(np.concatenate([taken, rank[:, :, None]], axis=2), axis=2)
    return positives.unspared(users, taken.reshape(len(users), -1)).reshape(taken.shape)


def _orders(
    users: NDArray[np.int64], longest: int, sizes: NDArray[np.int64], epochs: int, seed: int, round: int
) -> NDArray[np.int64]:
    """[epochs, users, longest] each client's order of its examples in each epoch; padding stays at the end."""
    draws = uniforms(seed, "baseline-order", users, longest * epochs, round=round).reshape(len(users), longest, epochs)
    draws[np.arange(longest) >= sizes[:, None]] = 2.0
    return np.argsort(draws, axis=1, kind="stable").transpose(2, 0, 1)
