"""Which items are touched, and where they stand among those: so that a pass holds no more rows of a catalogue than it reads."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.cohort.batches import Batch, Cohort, units_of


class Places(NamedTuple):
    """Where a batch's items stand in the item table: `own` [examples, positions], `other` [units, k] (or [examples, k]) int64."""

    own: torch.Tensor
    other: torch.Tensor


class RowNumbers:
    """Which catalogue items are touched, and where each stands among them."""

    def __init__(self, items: int, used: NDArray[np.int64], device: torch.device) -> None:
        """`used`: items, with repeats. What it gives lies on `device`."""
        touched = np.zeros(items, dtype=np.bool_)
        touched[used] = True
        self.rows = torch.from_numpy(np.flatnonzero(touched)).to(device)
        self._place = torch.from_numpy(np.cumsum(touched) - 1).to(device)

    def of(self, items: torch.Tensor) -> torch.Tensor:
        """Their places among `rows`."""
        return self._place[items]


def touched_items(cohort: Cohort) -> NDArray[np.int64]:
    """All items that the cohort reads, with repeats; 0 among them, which padding points to."""
    return np.concatenate(([0], cohort.examples.items.numpy().reshape(-1), cohort.negatives.numpy().reshape(-1)))


def client_tables(batch: Batch) -> tuple[torch.Tensor, Places]:
    """(rows [clients, rows]: the items that each client reads in a batch, places in these tables laid one after the other)."""
    units, k = batch.negatives.shape
    rows, local = distinct(torch.cat([batch.examples.items.view(units, -1), batch.negatives], dim=1))
    flat = local + torch.arange(units, device=local.device).unsqueeze(1) * rows.shape[1]
    return rows, Places(flat[:, :-k].reshape(batch.examples.items.shape), flat[:, -k:])


def example_tables(batch: Batch) -> tuple[torch.Tensor, Places]:
    """(rows [examples, rows]: the items that each example reads, each once and filled up with item 0, places in these tables laid one after the
    other)."""
    units, k = batch.negatives.shape
    examples = len(batch.rows)
    negatives = batch.negatives.repeat_interleave(examples // max(units, 1), dim=0)
    rows, local = distinct(torch.cat([batch.examples.items, negatives], dim=1))
    flat = local + torch.arange(examples, device=local.device).unsqueeze(1) * rows.shape[1]
    return rows, Places(flat[:, :-k], flat[:, -k:])


def own_tables(
    cohort: Cohort, examples: NDArray[np.int64], some: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows [clients, rows], own [examples, positions], other [clients, k]): the items that each of the clients `some` reads in any of its
    `examples`, and where each example's own items and each client's negatives stand among them."""
    whole = units_of(cohort, examples, most=None)
    rectangle, real = whole.rectangle(np.arange(len(some)))
    items = cohort.examples.items[torch.from_numpy(rectangle)].flatten(1)
    negatives = cohort.negatives[torch.from_numpy(some)]
    rows, local = distinct(torch.cat([items, negatives], dim=1))
    k = negatives.shape[1]
    own = local[:, :-k].reshape(*rectangle.shape, -1)[torch.from_numpy(real)]
    return rows, own, local[:, -k:]


def distinct(items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows [groups, most], local [groups, n]): each group's distinct items, filled up with item 0; where its `items` [groups, n] stand there."""
    groups = len(items)
    span = int(items.max()) + 1
    group = np.arange(groups)[:, None]
    found, place = np.unique(items.cpu().numpy() + group * span, return_inverse=True)
    owner = found // span
    first = np.searchsorted(owner, np.arange(groups))
    rows = np.zeros((groups, int(np.bincount(owner, minlength=groups).max())), dtype=np.int64)
    rows[owner, np.arange(len(found)) - first[owner]] = found % span
    local = place.reshape(items.shape) - first[:, None]
    return torch.from_numpy(rows).to(items.device), torch.from_numpy(local).to(items.device)
