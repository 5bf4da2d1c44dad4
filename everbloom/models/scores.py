"""How a user vector and an item vector become a score (a logit; its sigmoid is the probability of interest)."""

import torch
from torch import nn
from torch.nn import functional


class DotScore(nn.Module):
    """u . i + bias."""

    def forward(self, users: torch.Tensor, items: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[b, t, dim], [b | 1, c, dim], [b | 1, c] -> [b, t, c]."""
        return users @ items.transpose(-1, -2) + bias.unsqueeze(-2)


class MlpScore(nn.Module):
    """w . gelu(W [u, i]) + bias (NCF's score, He et al., 2017).

    The hidden layer is what makes it personal: with a linear W [u, i] alone the user's part is one constant for all items. W is held as two
    halves, so that a catalogue's half is computed once and not for every pair.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.user = nn.Linear(dim, dim)
        self.item = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, 1, bias=False)

    def forward(self, users: torch.Tensor, items: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[b, t, dim], [b | 1, c, dim], [b | 1, c] -> [b, t, c]."""
        hidden = functional.gelu(self.user(users).unsqueeze(-2) + self.item(items).unsqueeze(-3))
        return self.out(hidden).squeeze(-1) + bias.unsqueeze(-2)  # type: ignore[no-any-return]


SCORES = {"dot": lambda dim: DotScore(), "mlp": MlpScore}
"""config.ModelConfig.score -> constructor(dim)."""
