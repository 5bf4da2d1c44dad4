"""Clipped gradients of any recommender: each example goes through the item encoder by itself, and every layer in it is tapped.

The general route. Where the item encoder is linear in fixed features, `item_norms` gets the same from the gradients of item vectors, for less.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from everbloom.learning.cohort import norms
from everbloom.learning.cohort.batches import Batch
from everbloom.learning.cohort.forward import forward, signals_of
from everbloom.learning.cohort.layers import Tap
from everbloom.learning.cohort.places import Places
from everbloom.learning.cohort.table import AttachedTable
from everbloom.learning.cohort.weights import TABLES, Skeleton
from everbloom.learning.teacher import Teacher
from everbloom.methods import Objective

Factor = Callable[[Batch, torch.Tensor], torch.Tensor]
"""(batch, squared norms [examples]) -> what each example's gradient is multiplied with, [examples]."""


@dataclass(frozen=True, eq=False)
class Clipped:
    """By parameter: `dense` [*shape], or of each client [clients, *shape]; `rows` [examples, rows, ...] of an item table, each example's own."""

    dense: Mapping[str, torch.Tensor]
    rows: Mapping[str, torch.Tensor]


def clipped_by_example(
    skeleton: Skeleton,
    objective: Objective,
    batch: Batch,
    rows: torch.Tensor,
    places: Places,
    teacher: Teacher | None,
    factor_of: Factor,
    clients: int | None,
) -> Clipped:
    """Sums of the clipped gradients of all parameters. `rows` [examples, rows] and `places` as `example_tables` gives them, and the item tables hold
    these rows; `clients`: how many have weights of their own in the batch, None if all have the same."""
    model, layers = skeleton.model, skeleton.layers
    signals = signals_of(model, batch)
    layers.taps = []
    try:
        table = AttachedTable(model.item, rows)
        passed = forward(model, objective, table, batch, places, signals, teacher)
        taps = layers.taps
    finally:
        layers.taps = None
    loss = (passed.losses * batch.real).sum()
    found = torch.autograd.grad(loss, [tap.out for tap in taps], allow_unused=True)
    with torch.no_grad():
        tables, others, back = _sorted(taps, found)
        uses = norms.uses_of(others, back, len(batch.rows))
        squared = torch.zeros(len(batch.rows), device=rows.device)
        for gradient in tables.values():  # an example holds each item once, so these are whole rows of its gradient
            squared = squared + gradient.flatten(1).square().sum(dim=1)
        for layer, use in uses.items():
            squared = squared + norms.squared_norm(layers.modules[layer], use)
        factor = factor_of(batch, squared)
        dense = {
            f"{layer}.{name}": gradient
            for layer, use in uses.items()
            for name, gradient in norms.weighted_gradient(layers.modules[layer], use, factor, clients).items()
        }
        return Clipped(dense, {f"{name}.weight": g * factor.view(-1, 1, 1) for name, g in tables.items()})


def _sorted(
    taps: list[Tap], found: tuple[torch.Tensor | None, ...]
) -> tuple[dict[str, torch.Tensor], list[Tap], list[torch.Tensor | None]]:
    """(gradients of item tables' rows by layer; the other taps, and what came back to each)."""
    tables = {
        tap.layer: back for tap, back in zip(taps, found, strict=True) if tap.layer in TABLES and back is not None
    }
    others = [(tap, back) for tap, back in zip(taps, found, strict=True) if tap.layer not in TABLES]
    return tables, [tap for tap, _ in others], [back for _, back in others]
