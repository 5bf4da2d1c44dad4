"""Sampled softmax over the example's own items and uniform negatives, with the importance correction."""

from typing import Literal

import torch

from everbloom.learning.candidates import Candidates
from everbloom.methods import Objective


class SampledSoftmax(Objective):
    """-log p(target), p normalised over own items (each stands for itself) and k negatives (each stands for (N - own) / k items).

    Bengio and Senecal, 2008. Without the correction log((N - own) / k) the few own items weigh as much as the rest of the catalogue and are
    pushed down as hard negatives.
    """

    name: Literal["sampled-softmax"]
    mask_history: bool = False
    """Leave the items a position has already read out of its candidates, as the ranking does."""

    def per_example(self, scores: torch.Tensor, candidates: Candidates) -> torch.Tensor:
        """See `Objective`; the mean over an example's learnt positions, by weight."""
        columns = candidates.columns
        count = (candidates.items - candidates.own).clamp(min=1) / candidates.negatives.clamp(min=1)
        correction = torch.log(count).view(-1, 1, 1)
        masked = candidates.masked.expand(-1, scores.shape[1], -1)
        if self.mask_history:
            earlier = torch.arange(columns, device=scores.device) < candidates.place.unsqueeze(2)
            target = torch.arange(columns, device=scores.device) == candidates.target.unsqueeze(2)
            masked = masked.clone()
            masked[:, :, :columns] |= earlier & ~target
        logits = torch.cat([scores[..., :columns], scores[..., columns:] + correction], dim=-1)
        logits = logits.masked_fill(masked, float("-inf"))
        chosen = torch.gather(scores[..., :columns], 2, candidates.target.unsqueeze(2)).squeeze(2)
        loss = torch.logsumexp(logits, dim=-1) - chosen
        return (loss * candidates.weight).sum(dim=1) / candidates.weight.sum(dim=1).clamp(min=1e-6)
