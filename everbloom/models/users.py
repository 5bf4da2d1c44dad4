"""User vectors: a causal transformer over the item vectors of the history (Kang and McAuley, SASRec, 2018; pre-norm blocks)."""

import torch
from torch import nn
from torch.nn import functional

from everbloom.config import UserModelConfig
from everbloom.data.events import BEHAVIOURS


class Attention(nn.Module):
    """Causal self-attention from plain linear layers: `nn.MultiheadAttention` has no per-example gradients."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.mix = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[examples, positions, dim] -> the same shape; position t reads positions <= t."""
        examples, positions, dim = states.shape
        query, key, value = (
            self.mix(states).view(examples, positions, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        )
        read = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(read.transpose(1, 2).reshape(examples, positions, dim))  # type: ignore[no-any-return]


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


class Block(nn.Module):
    """Attention and feed-forward, each with a pre-norm and a residual path."""

    def __init__(self, dim: int, config: UserModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, config.heads, config.dropout)
        self.feedforward = FeedForward(dim, config.feedforward * dim) if config.feedforward else None
        self.dropout = nn.Dropout(config.dropout)
        # The residual branches start at nothing, so an untrained user vector is that of the last item: a sound point to learn from under noise.
        nn.init.zeros_(self.attention.out.weight)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[examples, positions, dim] -> the same shape."""
        states = states + self.dropout(self.attention(self.attention_norm(states)))
        return states if self.feedforward is None else states + self.dropout(self.feedforward(states))


class UserEncoder(nn.Module):
    """History -> one user vector per position; the one at position t has read the start token and the first t events."""

    def __init__(self, dim: int, config: UserModelConfig) -> None:
        super().__init__()
        self.start = nn.Embedding(1, dim)
        self.position = nn.Embedding(config.history, dim)
        self.behaviour = nn.Embedding(len(BEHAVIOURS), dim) if config.behaviours else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(dim, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.constant_(self.norm.weight, config.scale)
        for table in (self.start, self.position, *([self.behaviour] if self.behaviour is not None else [])):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, vectors: torch.Tensor, behaviour: torch.Tensor) -> torch.Tensor:
        """Vectors [examples, events, dim] and behaviour codes [examples, events] -> user vectors [examples, events + 1, dim].

        Padding belongs at the end: causal attention keeps it out of all that comes before.
        """
        examples, events, _ = vectors.shape
        if self.behaviour is not None:
            vectors = vectors + self.behaviour(behaviour)
        start = self.start(torch.zeros((examples, 1), dtype=torch.int64))
        place = self.position(torch.arange(events + 1).expand(examples, events + 1).contiguous())
        states = self.dropout(torch.cat([start, vectors], dim=1) + place)
        for block in self.blocks:
            states = block(states)
        return self.norm(states)  # type: ignore[no-any-return]
