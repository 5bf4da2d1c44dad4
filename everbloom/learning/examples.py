"""Clients' histories as training examples, for all clients of a call at once. Under an example unit, what is built here decides in how many
examples an interaction lies."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import LearningConfig
from everbloom.data.events import NO_ITEM, Histories
from everbloom.data.gaps import gaps_before
from everbloom.data.searches import searches_before
from everbloom.data.timeline import TrainingWindow
from everbloom.models.users import Circumstances
from everbloom.seeding import PublicDraws


@dataclass(frozen=True, eq=False)
class Examples:
    """[examples, positions] each: items and behaviour int64, padded at the end with 0; real bool, false for padding; weight float32, 0 where there is
    nothing to learn.

    `place` [examples, scored] int64: the positions whose next item is scored; all of them, or the one that has a target. `gap` int64 as items: codes
    of how long before each event the one before it lay, in the example or out of it. `search` int64 as items: codes of the last search between an
    event and the one before it, 0 where there is none (None: of none).
    """

    items: torch.Tensor
    behaviour: torch.Tensor
    real: torch.Tensor
    weight: torch.Tensor
    place: torch.Tensor
    gap: torch.Tensor
    search: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def circumstances(self) -> Circumstances:
        """What a model reads beside the items."""
        return Circumstances(self.behaviour, self.gap, self.search, self.items, self.real.sum(dim=1))

    def to(self, device: torch.device) -> "Examples":
        """The same on a device."""
        return self._each(lambda column: column.to(device))

    def take(self, rows: torch.Tensor) -> "Examples":
        """The examples at these positions."""
        return self._each(lambda column: column[rows])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Examples":
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return Examples(**{name: change(column) for name, column in columns.items() if column is not None})


def build_examples(
    events: Histories,
    weight: NDArray[np.float32],
    window: TrainingWindow,
    learning: LearningConfig,
    length: int,
    disjoint: bool,
    draws: PublicDraws,
    rehearsed: NDArray[np.bool_] | None = None,
) -> tuple[Examples, NDArray[np.int64]]:
    """The clients' examples of one round, one client after the other, and how many each has [users].

    `weight` [events] of each event as a target; `length` positions of an example (`model.user.history`). `disjoint`: each event lies in one
    example, always the same one (windows start at the first event of the training window). Otherwise windows are laid from an offset drawn for each
    client, and older events serve as context. `rehearsed` [events]: older events that are targets all the same.
    Of an event outside of a disjoint example nothing is in it, so the gap before its first one is unknown, and what was searched for before that.
    """
    kept, first, weight = _visible(events, weight, window, rehearsed)
    item, behaviour = events.item[kept.rows], events.behaviour[kept.rows]
    if learning.examples == "next-item":
        owner, starts, stops = _next_item(weight, kept.offsets, length - 1)
    elif disjoint:
        owner, starts, stops = _windows(first, kept.offsets[1:], length, np.zeros(events.users, dtype=np.int64))
    else:
        offset = (draws.uniforms("windows", 1)[:, 0] * length).astype(np.int64)
        owner, starts, stops = _windows(kept.offsets[:-1], kept.offsets[1:], length, offset)
    targets = np.concatenate(([0], np.cumsum(weight > 0)))
    learnt = targets[stops] > targets[starts]
    if learning.max_examples is not None:
        learnt &= _chosen(owner, learnt, learning.max_examples, draws)
    owner, starts, stops = owner[learnt], starts[learnt], stops[learnt]
    gap = gaps_before(events.time[kept.rows], kept.offsets)
    search = np.zeros(len(kept.rows), dtype=np.int64)
    if events.search is not None:
        search, _ = searches_before(events.search, kept.rows, events.offsets)
    told = _Kinds(item, behaviour, gap, search)
    examples = _gather(told, weight, starts, stops, length, learning.examples == "next-item")
    if disjoint:
        for told_of_before in (examples.gap, examples.search):
            assert told_of_before is not None
            told_of_before[:, 0] = 0
    return examples, np.bincount(owner, minlength=events.users)


class _Kept(NamedTuple):
    """The rows of events that exist and have an item, and where each user's begin among them."""

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]


def _visible(
    events: Histories, weight: NDArray[np.float32], window: TrainingWindow, rehearsed: NDArray[np.bool_] | None
) -> tuple[_Kept, NDArray[np.int64], NDArray[np.float32]]:
    """(kept rows, first [users] kept row of the window, weight [kept], 0 before it unless rehearsed)."""
    _, first, end = window.rows(events, weight)
    sizes = np.diff(events.offsets)
    place = np.arange(len(events))
    real = (events.item != NO_ITEM) & (place < np.repeat(end, sizes))
    before = np.concatenate(([0], np.cumsum(real)))
    rows = np.flatnonzero(real)
    kept = _Kept(rows, before[events.offsets])
    early = place[rows] < np.repeat(first, sizes)[rows]
    if rehearsed is not None:
        early &= ~rehearsed[rows]
    return kept, before[first], np.where(early, np.float32(0), weight[rows])


def _next_item(
    weight: NDArray[np.float32], offsets: NDArray[np.int64], context: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(owner, start, stop) of one example per target."""
    targets = np.flatnonzero(weight)
    owner = np.searchsorted(offsets, targets, side="right") - 1
    return owner, np.maximum(targets - context, offsets[owner]), targets + 1


def _windows(
    first: NDArray[np.int64], end: NDArray[np.int64], length: int, offset: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(owner, start, stop) of consecutive pieces of each [first, end): one of `offset` events (if any), then of `length`."""
    short = np.minimum(offset, end - first)
    whole = first + short
    count = (short > 0) + -((whole - end) // length)
    owner = np.repeat(np.arange(len(first)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) - (short > 0)[owner]
    starts = np.where(place < 0, first[owner], whole[owner] + place * length)
    stops = np.where(place < 0, whole[owner], np.minimum(starts + length, end[owner]))
    return owner, starts, stops


def _chosen(
    owner: NDArray[np.int64], candidates: NDArray[np.bool_], most: int, draws: PublicDraws
) -> NDArray[np.bool_]:
    """[examples] which of the candidates are a seeded choice of at most `most` for each owner."""
    which = np.flatnonzero(candidates)
    mine = owner[which]
    first = np.searchsorted(mine, np.arange(len(draws.clients)))
    place = np.arange(len(which)) - first[mine]
    key = draws.uniforms("subset", int(place.max(initial=0)) + 1)[mine, place]
    order = np.lexsort((key, mine))
    chosen = np.zeros(len(owner), dtype=np.bool_)
    chosen[which[order[place < most]]] = True
    return chosen


class _Kinds(NamedTuple):
    """[kept] what is read of events."""

    item: NDArray[np.int32]
    behaviour: NDArray[np.uint8]
    gap: NDArray[np.int64]
    search: NDArray[np.int64]


def _gather(
    told: _Kinds,
    weight: NDArray[np.float32],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    width: int,
    only_last: bool,
) -> Examples:
    if len(starts) == 0:
        nothing = torch.zeros((0, width), dtype=torch.int64)
        scored = torch.zeros((0, 1 if only_last else width), dtype=torch.int64)
        return Examples(nothing, nothing, nothing.bool(), nothing.float(), scored, nothing.clone(), nothing.clone())
    row = starts[:, None] + np.arange(width)
    real = row < stops[:, None]
    row = np.where(real, row, 0)
    learnt = real & (row == stops[:, None] - 1) if only_last else real
    place = stops[:, None] - starts[:, None] - 1 if only_last else np.broadcast_to(np.arange(width), row.shape)
    return Examples(
        items=torch.from_numpy(np.where(real, told.item[row], 0).astype(np.int64)),
        behaviour=torch.from_numpy(np.where(real, told.behaviour[row], 0).astype(np.int64)),
        real=torch.from_numpy(real),
        weight=torch.from_numpy(np.where(learnt, weight[row], 0).astype(np.float32)),
        place=torch.from_numpy(np.array(place)),
        gap=torch.from_numpy(np.where(real, told.gap[row], 0)),
        search=torch.from_numpy(np.where(real, told.search[row], 0)),
    )
