"""User vectors: a causal transformer over the item vectors of the history (Kang and McAuley, SASRec, 2018; pre-norm blocks)."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from everbloom.config import UserModelConfig
from everbloom.data.events import BEHAVIOURS
from everbloom.data.gaps import GAP_CODES


class Circumstances(NamedTuple):
    """What is known of events beside their items; more of either than there are events is not read.

    `behaviour` [examples, events] codes of what was done; `gap` [examples, events + 1] codes of how long ago the event before was, at each event and
    when the one after the last is asked for: position t's tells nothing of the event that is to be predicted there but when it is. `search`
    [examples, events + 1] likewise: codes of the last search since the event before, None of none at all.
    """

    behaviour: torch.Tensor
    gap: torch.Tensor | None = None
    search: torch.Tensor | None = None
    item: torch.Tensor | None = None
    """[examples, at least events] int64 the items themselves, and"""
    length: torch.Tensor | None = None
    """[examples] how many of them are real: for encoders that read more of an item than its vector."""


class Attention(nn.Module):
    """Causal self-attention from plain linear layers: `nn.MultiheadAttention` has no per-example gradients."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, states: torch.Tensor, place: torch.Tensor | None = None) -> torch.Tensor:
        """[examples, positions, dim] -> what each position (or each at `place` [examples, asked]) reads: position t reads positions <= t."""
        examples, positions, dim = states.shape
        query, key, value = (
            part.view(examples, positions, self.heads, dim // self.heads).transpose(1, 2)
            for part in self.mix(states).split(dim, dim=2)
        )
        if place is None:
            read = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            asked = place.unsqueeze(1).unsqueeze(3)
            query = torch.gather(query, 2, asked.expand(-1, self.heads, -1, dim // self.heads))
            seen = torch.arange(positions, device=states.device) <= asked
            read = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.out(read.transpose(1, 2).reshape(examples, read.shape[2], dim))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Norm, one hidden layer, back to nothing at first."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.inner = nn.Linear(dim, hidden)
        self.out = nn.Linear(hidden, dim)
        nn.init.zeros_(self.out.weight)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., dim] -> [..., dim]."""
        return self.out(functional.gelu(self.inner(self.norm(states))))  # type: ignore[no-any-return]


class Dropout(nn.Module):
    """Inverted dropout whose masks are rows of a fixed random table: given the rows, it is a pure function, on every runtime and for any batching.

    Each position of each example draws its row anew; the table has so many that they hardly meet. Without rows nothing is dropped.
    """

    ROWS = 4096
    masks: torch.Tensor

    def __init__(self, dim: int, rate: float) -> None:
        super().__init__()
        kept = torch.rand((self.ROWS if rate else 0, dim)) >= rate
        self.register_buffer("masks", kept.float() / (1 - rate), persistent=False)

    def forward(self, states: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        """States [examples, positions, dim], rows [examples, positions] int64 below `ROWS` or None -> the shape of states."""
        return states if rows is None else states * self.masks[rows]


class Block(nn.Module):
    """Attention and feed-forward, each with a pre-norm and a residual path."""

    def __init__(self, dim: int, config: UserModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, config.heads)
        self.feedforward = FeedForward(dim, config.feedforward * dim) if config.feedforward else None
        # The residual branches start at nothing, so an untrained user vector is that of the last item: a sound point to learn from under noise.
        nn.init.zeros_(self.attention.out.weight)

    def forward(
        self, states: torch.Tensor, dropout: Dropout, rows: torch.Tensor | None, place: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[examples, positions, dim] -> the same shape, or of the positions at `place` [examples, asked] alone.

        `rows` [examples, 2, positions] of the masks, or None.
        """
        read = self.attention(self.attention_norm(states), place)
        if place is not None:
            states = at(states, place)
            rows = None if rows is None else torch.gather(rows, 2, place.unsqueeze(1).expand(-1, 2, -1))
        after, last = (None, None) if rows is None else (rows[:, 0], rows[:, 1])
        states = states + dropout(read, after)
        return states if self.feedforward is None else states + dropout(self.feedforward(states), last)


def at(states: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The states [examples, positions, dim] at some places [examples, asked]: [examples, asked, dim]."""
    return torch.gather(states, 1, place.unsqueeze(2).expand(-1, -1, states.shape[2]))


class UserEncoder(nn.Module):
    """History -> one user vector per position; the one at position t has read the start token and the first t events."""

    searches: torch.Tensor
    two_way = False
    event_bytes = 0
    """Of activations beyond those of the transformer."""

    def __init__(self, dim: int, config: UserModelConfig, searches: torch.Tensor | None = None) -> None:
        """`searches` [texts, width]: features of what was searched for, where the model reads it."""
        super().__init__()
        self.start = nn.Embedding(1, dim)
        self.position = nn.Embedding(config.history, dim)
        self.behaviour = nn.Embedding(len(BEHAVIOURS), dim) if config.behaviours else None
        self.gap = nn.Embedding(GAP_CODES, dim) if config.gaps else None
        self.search = None
        if searches is not None:
            # Code 0 is no search. What people searched for is private: it is no parameter, and stays where the log is.
            nothing = torch.zeros((1, searches.shape[1]))
            self.register_buffer("searches", torch.cat([nothing, searches]), persistent=False)
            self.search = nn.Linear(searches.shape[1], dim, bias=False)
        self.dropout = Dropout(dim, config.dropout)
        self.mask_sites = 1 + 2 * config.layers if config.dropout else 0
        """Places where a mask is drawn for each position."""
        self.blocks = nn.ModuleList(Block(dim, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.constant_(self.norm.weight, config.scale)
        for table in (self.start, self.position, self.behaviour, self.gap):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)

    def forward(
        self,
        vectors: torch.Tensor,
        circumstances: Circumstances,
        masks: torch.Tensor | None = None,
        place: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Vectors [examples, events, dim] and their circumstances -> user vectors [examples, events + 1, dim], or those of the positions at `place`
        [examples, asked] alone, for which the last block need not work out the others.

        `masks` [examples, mask_sites, at least events + 1] int64: rows of dropout masks; None drops nothing. Padding belongs at the end: causal
        attention keeps it out of all that comes before.
        """
        examples, events, _ = vectors.shape
        if self.behaviour is not None:
            vectors = vectors + self.behaviour(circumstances.behaviour[:, :events])
        start = self.start(torch.zeros((examples, 1), dtype=torch.int64, device=vectors.device))
        here = torch.arange(events + 1, device=vectors.device)
        where = self.position(here.expand(examples, events + 1).contiguous())
        if self.gap is not None:
            assert circumstances.gap is not None, "a model with gaps reads them"
            where = where + self.gap(circumstances.gap[:, : events + 1])
        if self.search is not None:
            where = where + self.search(self._searched(circumstances.search, examples, events))
        if masks is not None:
            masks = masks[..., : events + 1]
        states = self.dropout(torch.cat([start, vectors], dim=1) + where, None if masks is None else masks[:, 0])
        for depth, block in enumerate(self.blocks):
            rows = None if masks is None else masks[:, 1 + 2 * depth : 3 + 2 * depth]
            states = block(states, self.dropout, rows, place if depth == len(self.blocks) - 1 else None)
        if place is not None and len(self.blocks) == 0:
            states = at(states, place)
        return self.norm(states)  # type: ignore[no-any-return]

    def _searched(self, search: torch.Tensor | None, examples: int, events: int) -> torch.Tensor:
        """[examples, events + 1, width] features of the searches; zero where there is none."""
        if search is None:
            search = torch.zeros((examples, events + 1), dtype=torch.int64, device=self.searches.device)
        return functional.embedding(search[:, : events + 1], self.searches)
