"""Popularity prior: how many people wanted an item lately. Counted through the privacy mechanism, round by round, and not learnt."""

import torch
from torch import nn

from everbloom.config import PriorConfig


class PopularityPrior(nn.Module):
    """score(item i) = weight * log(1 + max(counts_i, 0)), counts in the server's unit.

    `counts` [items] travels with the shared parameters, but no training moves it: the server alone does, in rounds of their own.
    """

    def __init__(self, items: int, config: PriorConfig) -> None:
        super().__init__()
        self.counts = nn.Parameter(torch.zeros(items), requires_grad=False)
        self.weight = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.weight.weight, config.strength)
        self.weight.requires_grad_(config.learn)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Signals [..., 1] -> scores [...]."""
        return self.weight(signal).squeeze(-1)  # type: ignore[no-any-return]

    def signals(self, items: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """[examples, positions + k, 1] of the candidates: own items [examples, positions], then negatives [groups, k], where examples come in equal
        groups. They hold no parameter that is learnt."""
        each = len(items) // max(len(negatives), 1)
        candidates = torch.cat([items, negatives.repeat_interleave(each, dim=0)], dim=1)
        return self._signal(self.counts[candidates])

    def catalogue(self) -> torch.Tensor:
        """[items] scores of all."""
        return self.forward(self._signal(self.counts))

    def _signal(self, counts: torch.Tensor) -> torch.Tensor:
        return torch.log1p(counts.clamp(min=0)).unsqueeze(-1)
