"""Item-to-item co-occurrence in a device's own history: what a candidate has to do with the last events, judged by what came together before.

All of it is a function of the history before a position and of public features, and none of it leaves the device; what is learnt is one weight per
signal. Signals of a candidate c after events h_0 ... h_{t-1}:

- repeats     log(1 + how often c is among them)
- recency     log(1 + sum of decay^(t-1-s) over the places s of c)
- companions  log(1 + sum over the `recent` last events p, of decay^(t-1-p) times how often c stood within `window` events of an earlier h_r = h_p)
- alike       the same by resemblance, for candidates that were never met: with max(cos(h_p, h_r), 0)^`sharpness` in place of h_r = h_p it gives
              every event s a weight a_s, and the signal is sum_s a_s cos(h_s, c) / (1 + sum_s a_s). Needs features.
"""

import torch
from torch import nn
from torch.nn import functional

from everbloom.config import CooccurrenceConfig

_EXACT = 3
"""Signals that look for the candidate itself."""


class Cooccurrence(nn.Module):
    """Signals of history and candidate, and their weights."""

    features: torch.Tensor | None

    def __init__(self, features: torch.Tensor | None, config: CooccurrenceConfig) -> None:
        """`features` [items, width] of unit length, or None."""
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        self.config = config
        self.weight = nn.Linear(_EXACT + (features is not None), 1, bias=False)
        nn.init.constant_(self.weight.weight, config.strength)
        self.weight.requires_grad_(config.learn)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Signals [..., 3 or 4] -> scores [...]."""
        return self.weight(signals).squeeze(-1)  # type: ignore[no-any-return]

    @torch.no_grad()
    def signals(self, items: torch.Tensor, place: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """[examples, scored, positions + k, 3 or 4] of the candidates: own items, then negatives.

        Items [examples, positions], place [examples, scored], negatives [groups, k], where examples come in equal groups.
        """
        examples, positions = items.shape
        each = examples // max(len(negatives), 1)
        candidates = torch.cat([items, negatives.repeat_interleave(each, dim=0)], dim=1)
        vectors = None if self.features is None else functional.embedding(items, self.features)
        read = self._read(items, place, vectors)
        same = (items.unsqueeze(2) == candidates.unsqueeze(1)).float()
        scored = place.shape[1]
        exact = read[:, :_EXACT].reshape(examples, _EXACT * scored, positions) @ same
        found = torch.log1p(exact).view(examples, _EXACT, scored, candidates.shape[1])
        if vectors is not None:
            cosines = vectors @ functional.embedding(candidates, self.features).transpose(1, 2)  # type: ignore[arg-type]
            found = torch.cat([found, (read[:, _EXACT] @ cosines).unsqueeze(1)], dim=1)
        return found.permute(0, 2, 3, 1)

    @torch.no_grad()
    def ranked(
        self,
        items: torch.Tensor,
        length: torch.Tensor,
        count: int,
        candidates: torch.Tensor,
        features: torch.Tensor | None,
    ) -> torch.Tensor:
        """Scores [users, candidates] of the items `candidates` [candidates] of a catalogue of `count`, with their `features` [candidates, width]
        where there are any, after histories [users, events] of which the first `length` [users] are real."""
        weight = self.weight.weight[0]
        vectors = None if self.features is None else functional.embedding(items, self.features)
        read = self._read(items, length.unsqueeze(1), vectors).squeeze(2)
        scores = torch.zeros((len(items), len(candidates)), device=items.device)
        for signal in range(_EXACT):
            found = torch.zeros((len(items), count), device=items.device).scatter_add_(1, items, read[:, signal])
            scores += weight[signal] * found.index_select(1, candidates).log1p_()
        if vectors is not None:
            assert features is not None, "candidates have features where the catalogue has"
            scores += weight[_EXACT] * ((read[:, _EXACT].unsqueeze(1) @ vectors).squeeze(1) @ features.T)
        return scores

    def _read(self, items: torch.Tensor, place: torch.Tensor, vectors: torch.Tensor | None) -> torch.Tensor:
        """[examples, 3 or 4, scored, positions] how much each signal reads of each event before each place."""
        config = self.config
        here = torch.arange(items.shape[1], device=items.device)
        ago = (
            place.unsqueeze(2) - 1 - here
        ).float()  # [examples, scored, positions], negative where it is not known yet
        known = (ago >= 0).float()
        faded = known * config.decay ** ago.clamp(min=0)
        recent = faded * (ago < config.recent)
        apart = (here.unsqueeze(1) - here).abs()
        near = ((apart > 0) & (apart <= config.window)).float()
        earlier = (here.unsqueeze(1) > here).float()  # [p, r]: r is before p
        same = (items.unsqueeze(2) == items.unsqueeze(1)).float()
        found = [known, faded, known * (recent @ ((same * earlier) @ near))]
        if vectors is not None:
            alike = (vectors @ vectors.transpose(1, 2)).clamp(min=0) ** config.sharpness
            weight = known * (recent @ ((alike * earlier) @ near))
            found.append(weight / (1 + weight.sum(dim=2, keepdim=True)))
        return torch.stack(found, dim=1)
