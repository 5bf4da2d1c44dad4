"""A client's history as training examples. Under an example unit, what is built here decides in how many examples an interaction lies."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.data.events import NO_ITEM, UserEvents
from everbloom.data.timeline import TrainingWindow


@dataclass(frozen=True, eq=False)
class Examples:
    """[examples, positions] each: items and behaviour int64, padded at the end with 0; real bool, false for padding; weight float32, 0 where there is
    nothing to learn.

    `place` [examples, scored] int64: the positions whose next item is scored; all of them, or the one that has a target.
    """

    items: torch.Tensor
    behaviour: torch.Tensor
    real: torch.Tensor
    weight: torch.Tensor
    place: torch.Tensor

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: torch.Tensor) -> "Examples":
        """The examples at these positions."""
        return Examples(self.items[rows], self.behaviour[rows], self.real[rows], self.weight[rows], self.place[rows])


def build_examples(
    events: UserEvents,
    weight: NDArray[np.float32],
    window: TrainingWindow,
    learning: LearningConfig,
    length: int,
    disjoint: bool,
    rng: np.random.Generator,
) -> Examples:
    """A client's examples of one round.

    `weight` [events] of each event as a target; `length` positions of an example (`model.user.history`). `disjoint`: each event lies in one
    example, always the same one (windows start at the first event of the training window). Otherwise windows are laid from an offset drawn with
    `rng`, and older events serve as context.
    """
    first, end = window.rows(events, weight)
    kept = np.flatnonzero(events.item[:end] != NO_ITEM)
    first = int(np.searchsorted(kept, first))
    weight = weight[kept].copy()
    weight[:first] = 0
    if learning.examples == "next-item":
        starts, stops = _next_item(weight, length - 1)
        only_last = True
    elif disjoint:
        starts, stops = _windows(first, len(kept), length, 0)
        only_last = False
    else:
        starts, stops = _windows(0, len(kept), length, int(rng.integers(length)))
        only_last = False
    examples = _gather(events.item[kept], events.behaviour[kept], weight, starts, stops, length, only_last)
    useful = torch.nonzero(examples.weight.sum(dim=1) > 0).squeeze(1)
    if learning.max_examples is not None and len(useful) > learning.max_examples:
        useful = useful[torch.from_numpy(np.sort(rng.permutation(len(useful))[: learning.max_examples]))]
    return examples.take(useful)


def _next_item(weight: NDArray[np.float32], context: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    targets = np.flatnonzero(weight)
    return np.maximum(targets - context, 0), targets + 1


def _windows(first: int, end: int, length: int, offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Consecutive pieces of [first, end): one of `offset` events (if any), then of `length`."""
    inner = np.arange(first + offset, end, length) if offset else np.arange(first + length, end, length)
    bounds = np.concatenate(([first], inner, [end]))
    return bounds[:-1], bounds[1:]


def _gather(
    item: NDArray[np.int32],
    behaviour: NDArray[np.uint8],
    weight: NDArray[np.float32],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    width: int,
    only_last: bool,
) -> Examples:
    row = starts[:, None] + np.arange(width)
    real = row < stops[:, None]
    row = np.where(real, row, 0)
    learnt = real & (row == stops[:, None] - 1) if only_last else real
    place = stops[:, None] - starts[:, None] - 1 if only_last else np.broadcast_to(np.arange(width), row.shape)
    if len(item) == 0:
        nothing = torch.zeros((0, width), dtype=torch.int64)
        scored = torch.zeros((0, 1 if only_last else width), dtype=torch.int64)
        return Examples(nothing, nothing, nothing.bool(), nothing.float(), scored)
    return Examples(
        items=torch.from_numpy(np.where(real, item[row], 0).astype(np.int64)),
        behaviour=torch.from_numpy(np.where(real, behaviour[row], 0).astype(np.int64)),
        real=torch.from_numpy(real),
        weight=torch.from_numpy(np.where(learnt, weight[row], 0).astype(np.float32)),
        place=torch.from_numpy(np.array(place)),
    )
