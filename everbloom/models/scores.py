"""How a user vector and an item vector become a score (a logit; its sigmoid is the probability of interest)."""

import torch
from torch import nn
from torch.nn import functional


class DotScore(nn.Module):
    """u . i + bias."""

    bilinear = True
    """The score is a product of user vector and item vector, so a gradient with respect to one of them has the rank of the other."""

    def forward(self, users: torch.Tensor, items: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[examples, t, dim], [groups, c, dim], [groups, c] -> [examples, t, c]; examples come in equal groups."""
        examples, t, dim = users.shape
        groups, candidates, _ = items.shape
        asked = users.reshape(groups, examples // max(groups, 1) * t, dim)
        return torch.baddbmm(bias.unsqueeze(1), asked, items.transpose(1, 2)).view(examples, t, candidates)


class MlpScore(nn.Module):
    """w . gelu(W [u, i]) + bias (NCF's score, He et al., 2017).

    The hidden layer is what makes it personal: with a linear W [u, i] alone the user's part is one constant for all items. W is held as two
    halves, so that a catalogue's half is computed once and not for every pair.
    """

    bilinear = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.user = nn.Linear(dim, dim)
        self.item = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, 1, bias=False)

    def forward(self, users: torch.Tensor, items: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[examples, t, dim], [groups, c, dim], [groups, c] -> [examples, t, c]; examples come in equal groups."""
        examples, t, dim = users.shape
        groups, candidates, _ = items.shape
        asked = self.user(users).view(groups, examples // max(groups, 1) * t, 1, dim)
        hidden = functional.gelu(asked + self.item(items).unsqueeze(1)).view(examples, t, candidates, dim)
        scores: torch.Tensor = self.out(hidden).view(*asked.shape[:2], candidates) + bias.unsqueeze(1)
        return scores.view(examples, t, candidates)


SCORES = {"dot": lambda dim: DotScore(), "mlp": MlpScore}
"""config.ModelConfig.score -> constructor(dim)."""
