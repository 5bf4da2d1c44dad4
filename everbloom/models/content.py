"""Content match: how much an item's text resembles those of the last events, with one learnt weight per lag.

A few parameters over public features: it ranks sensibly before anything is learnt, and noise has next to nothing to fall on.
"""

import torch
from torch import nn
from torch.nn import functional

from everbloom.config import ContentConfig


class ContentMatch(nn.Module):
    """score(position t, item i) = sum over lags k of weight_k <f(item at t - k), f(i)>, f of unit length."""

    features: torch.Tensor

    def __init__(self, features: torch.Tensor, config: ContentConfig) -> None:
        """`features` [items, width]: the whole, unreduced ones."""
        super().__init__()
        self.register_buffer("features", functional.normalize(features, dim=1), persistent=False)
        self.lags = config.lags
        self.weight = nn.Linear(config.lags, 1, bias=False)
        nn.init.zeros_(self.weight.weight)
        nn.init.constant_(self.weight.weight[0, :1], config.strength)
        self.weight.requires_grad_(config.learn)

    def forward(self, similar: torch.Tensor) -> torch.Tensor:
        """Similarities [..., lags] -> scores [...]."""
        return self.weight(similar).squeeze(-1)  # type: ignore[no-any-return]

    def similarities(self, items: torch.Tensor, place: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """[examples, scored, positions + k, lags]: cosines of the candidates (own items, then negatives) with the events before each place.

        Items [examples, positions], place [examples, scored], negatives [groups, k], where examples come in equal groups. They hold no parameter.
        """
        read, real = self._read(items, place)
        examples, scored, lags, width = read.shape
        groups, k = negatives.shape
        own = torch.einsum("bslf,bcf->bscl", read, functional.embedding(items, self.features))
        rows = read.reshape(groups, examples // max(groups, 1) * scored * lags, width)
        other = (
            (rows @ functional.embedding(negatives, self.features).transpose(1, 2))
            .view(examples, scored, lags, k)
            .transpose(2, 3)
        )
        return torch.cat([own, other], dim=2) * real.unsqueeze(2)

    def pooled(self, items: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """The same for a whole catalogue: [users, width] to be multiplied with all features, after histories [users, events] of this length."""
        read, real = self._read(items, length.unsqueeze(1))
        return ((read * real.unsqueeze(-1)).squeeze(1) * self.weight.weight.view(1, -1, 1)).sum(dim=1)

    def by_event(self, items: torch.Tensor, length: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """[users, events, candidates] what each event adds to the score of candidates with these features [candidates, width], of unit length."""
        read, real = self._read(items, length.unsqueeze(1))
        terms = (read * real.unsqueeze(-1)).squeeze(1) * self.weight.weight.view(1, -1, 1) @ features.T
        place = length.unsqueeze(1) - 1 - torch.arange(self.lags, device=items.device)
        added = terms.new_zeros((len(items), max(items.shape[1], 1), len(features)))
        added.scatter_add_(1, place.clamp(min=0).unsqueeze(2).expand_as(terms), terms)
        return added[:, : items.shape[1]]

    def _read(self, items: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [examples, scored, lags, width] of the events before each scored position, and whether there are any."""
        back = place.unsqueeze(2) - 1 - torch.arange(self.lags, device=place.device)
        examples, scored, lags = back.shape
        index = back.clamp(min=0).view(examples, scored * lags)
        if items.shape[1] == 0:
            index, items = index * 0, torch.zeros((examples, 1), dtype=torch.int64, device=items.device)
        return self.features[torch.gather(items, 1, index).view(examples, scored, lags)], back >= 0
