"""The examples of a cohort as rectangles of similar size: [clients, examples each, positions], with next to no padding."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import compress

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.candidates import Candidates, build_candidates
from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws


@dataclass(frozen=True, eq=False)
class Cohort:
    """What some clients train on in one round.

    `examples` one client after the other, `counts` [clients] of them, `negatives` [clients, k] int64, `dropout` [clients] keys of their masks;
    `draws` makes each client's sampling and noise generators, from their beginning (None without privacy). `kept` [clients, numbers]
    is what each keeps from round to round (`everbloom.learning.steering.kept_size`; None: nobody anything yet).
    """

    examples: Examples
    counts: NDArray[np.int64]
    negatives: torch.Tensor
    dropout: NDArray[np.uint64]
    draws: Callable[[], tuple[Draws, ...]] | None = None
    kept: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def fresh_draws(self) -> tuple[Draws, ...]:
        """Every client's generators, from their beginning."""
        assert self.draws is not None, "a private cohort brings its draws"
        return self.draws()

    def part(self, clients: NDArray[np.int64]) -> "Cohort":
        """Those at `clients`, ascending, alone."""
        which = torch.from_numpy(clients)
        chosen = np.zeros(len(self), dtype=np.bool_)
        chosen[clients] = True
        rows = torch.from_numpy(np.flatnonzero(np.repeat(chosen, self.counts)))
        draws = self.draws
        return Cohort(
            self.examples.take(rows),
            self.counts[clients],
            self.negatives[which],
            self.dropout[clients],
            None if draws is None else lambda: tuple(compress(draws(), chosen)),
            None if self.kept is None else self.kept[which],
        )

    @property
    def first(self) -> NDArray[np.int64]:
        """[clients] where each one's examples begin."""
        return np.cumsum(self.counts) - self.counts


@dataclass(frozen=True, eq=False)
class Units:
    """Groups of examples that share a client's parameters and negatives: `client` [units], `row` [rows] of the cohort's examples, `offsets`
    [units + 1].

    A client may be several units, so that each holds histories of about one length and not too many.
    """

    client: NDArray[np.int64]
    row: NDArray[np.int64]
    offsets: NDArray[np.int64]
    length: NDArray[np.int64]
    """[units] positions of the longest example."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """[units] examples of each."""
        return np.diff(self.offsets)

    def rectangle(self, units: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """([units, most examples] rows of the cohort's examples, whether there is one: the rest is padding)."""
        sizes = self.sizes[units]
        place = np.arange(sizes.max(initial=0))
        real = place < sizes[:, None]
        return self.row[np.where(real, self.offsets[units][:, None] + place, 0)], real


def units_of(cohort: Cohort, rows: NDArray[np.int64], most: int | None) -> Units:
    """Units of the examples `rows` (ascending): one a client, or of at most `most` examples of about one length (within a quarter of the longest)."""
    length = cohort.examples.real[torch.from_numpy(rows)].sum(dim=1).numpy()
    owner = np.searchsorted(cohort.first + cohort.counts, rows, side="right")
    step = max(1, -(-cohort.examples.items.shape[1] // 4))
    quarter = (length + step - 1) // step if most else np.zeros_like(length)
    order = np.lexsort((rows, quarter, owner))
    begin = _runs(owner[order], quarter[order], most or len(rows))
    offsets = np.append(begin, len(rows))
    longest = np.maximum.reduceat(length[order], begin) if len(rows) else begin
    return Units(owner[order][begin], rows[order], offsets, longest)


def _runs(owner: NDArray[np.int64], kind: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Where runs of equal (owner, kind) begin, none longer than `most`."""
    if len(owner) == 0:
        return np.zeros(0, dtype=np.int64)
    fresh = np.concatenate(([True], (np.diff(owner) != 0) | (np.diff(kind) != 0)))
    begin = np.flatnonzero(fresh)
    place = np.arange(len(owner)) - begin[np.cumsum(fresh) - 1]
    return np.flatnonzero(place % most == 0)


@dataclass(frozen=True, eq=False)
class Batch:
    """One rectangle: examples [units * each], padded with ones that weigh nothing.

    `client` [units] whose they are; `rows` [units * each] of the cohort's examples; `real` [units * each] bool: no padding; `negatives`
    [units, k] and `masks` as the model takes them.
    """

    client: torch.Tensor
    examples: Examples
    rows: torch.Tensor
    real: torch.Tensor
    negatives: torch.Tensor
    candidates: Candidates
    masks: torch.Tensor | None

    @property
    def length(self) -> int:
        """Positions of an example."""
        return self.examples.items.shape[1]

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        if device.type == "cpu":
            return self
        moved = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), torch.Tensor)
        }
        return replace(self, examples=self.examples.to(device), candidates=self.candidates.to(device), **moved)

    def masked(self, masks: torch.Tensor | None) -> "Batch":
        """The same with other masks."""
        return replace(self, masks=masks)


def make_batch(cohort: Cohort, units: Units, which: NDArray[np.int64], masks: torch.Tensor | None, items: int) -> Batch:
    """The units at `which`. `masks` [examples of the cohort, ...]; `items`: size of the catalogue."""
    rows, there = units.rectangle(which)
    row, real = torch.from_numpy(rows.reshape(-1)), torch.from_numpy(there.reshape(-1))
    length = int(units.length[which].max(initial=1))
    examples = _cut(cohort.examples.take(row), real, length)
    client = torch.from_numpy(units.client[which])
    negatives = cohort.negatives[client]
    return Batch(
        client=client,
        examples=examples,
        rows=row,
        real=real,
        negatives=negatives,
        candidates=build_candidates(examples, negatives, items),
        masks=None if masks is None else masks[row, :, :length],
    )


def _cut(examples: Examples, real: torch.Tensor, length: int) -> Examples:
    """The first `length` positions; what is no real example is all padding."""
    there = real.unsqueeze(1)
    whole = examples.place.shape[1] == examples.items.shape[1]
    kept = examples.real[:, :length] & there
    return Examples(
        items=torch.where(kept, examples.items[:, :length], 0),
        behaviour=torch.where(kept, examples.behaviour[:, :length], 0),
        real=kept,
        weight=examples.weight[:, :length] * there,
        place=examples.place[:, :length] if whole else torch.where(there, examples.place, 0),
        gap=torch.where(kept, examples.gap[:, :length], 0),
        search=None if examples.search is None else torch.where(kept, examples.search[:, :length], 0),
    )


_PADDING = 0.2
"""Of a rectangle; with more of it another one is begun, unless this one is so small that one more costs more than its padding:"""
_WORTH_PADDING = 0.25
"""of the budget."""


def pieces(units: Units, budget: int, cost: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Units in rectangles that cost at most `budget` each (or hold one unit). `cost` [units] of one example of each.

    Sorted by size and length, so that what is padded to the largest and longest is about as large and long.
    """
    order = np.lexsort((units.length, units.sizes))
    sizes, costs = units.sizes[order].tolist(), cost[order].tolist()
    start = widest = dearest = needed = 0
    for stop, (size, one) in enumerate(zip(sizes, costs, strict=True)):
        widest, dearest, needed = max(widest, size), max(dearest, one), needed + size * one
        whole = (stop + 1 - start) * widest * dearest
        wasteful = whole > budget * _WORTH_PADDING and needed < whole * (1 - _PADDING)
        if stop > start and (whole > budget or wasteful):
            yield order[start:stop]
            start, widest, dearest, needed = stop, size, one, size * one
    if len(order):
        yield order[start:]
