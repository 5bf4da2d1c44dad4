"""The candidates of a position: the example's own items and sampled negatives; and how often each stands for the catalogue."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.timeline import TrainingWindow
from everbloom.learning.examples import Examples
from everbloom.seeding import PublicDraws


@dataclass(frozen=True, eq=False)
class Candidates:
    """Goes with scores [examples, scored, columns + k]: an own column for each position of the example, then the negatives.

    `place` [examples, scored] int64: the scored positions; `target`, `weight` [examples, scored]: own column of the item there, and its weight;
    `masked` [examples, 1, columns + k] bool: columns that are no candidates (padding, repeats, negatives that are the example's own items);
    `own` [examples]: distinct own items; `items`: size of the catalogue; `negatives` [examples]: usable negatives
    among all `k`.
    """

    place: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    masked: torch.Tensor
    own: torch.Tensor
    items: int
    negatives: torch.Tensor
    k: int

    def to(self, device: torch.device) -> "Candidates":
        """The same on a device."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), torch.Tensor)
        }
        return replace(self, **moved)

    @property
    def columns(self) -> int:
        """Number of own columns."""
        return self.masked.shape[2] - self.k


def build_candidates(examples: Examples, negatives: torch.Tensor, items: int) -> Candidates:
    """`negatives` [groups, k] int64: examples come in `groups` equal groups, one after the other, each with its own negatives.

    Which columns are masked depends on the example's own items and the public negatives alone, so examples stay independent.
    """
    count, positions = examples.items.shape
    groups, k = negatives.shape
    real = examples.real
    same = examples.items.unsqueeze(2) == examples.items.unsqueeze(1)
    same &= real.unsqueeze(1)
    first = same.to(torch.int8).argmax(dim=2)
    repeat = (first != torch.arange(positions, device=first.device)) | ~real
    own = torch.where(real, examples.items, -1).view(groups, count // max(groups, 1), positions, 1)
    hit = (own == negatives.view(groups, 1, 1, k)).any(dim=2).view(count, k)
    return Candidates(
        place=examples.place,
        target=torch.gather(first, 1, examples.place),
        weight=torch.gather(examples.weight, 1, examples.place),
        masked=torch.cat([repeat, hit], dim=1).unsqueeze(1),
        own=(~repeat).sum(dim=1),
        items=items,
        negatives=(~hit).sum(dim=1),
        k=k,
    )


def draw_negatives(known: NDArray[np.int64], k: int, draws: PublicDraws) -> torch.Tensor:
    """[clients, k] int64, uniform over the `known` items with replacement; independent of any behaviour, hence public."""
    return torch.from_numpy(known[(draws.uniforms("negatives", k) * len(known)).astype(np.int64)])


def known_items(first_seen: NDArray[np.int64], window: TrainingWindow) -> NDArray[np.int64]:
    """Items, ascending, that there are before a window ends. One that is yet to come must not be a negative: it would be learnt to be bad before
    anybody could have wanted it. `first_seen` [items] times; the whole catalogue if it has no such times."""
    return np.flatnonzero(first_seen < window.end)
