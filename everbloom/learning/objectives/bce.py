"""Binary cross-entropy of the next item against uniform negatives (NCF, SASRec)."""

from typing import Literal

import torch
from torch.nn import functional

from everbloom.learning.candidates import Candidates
from everbloom.methods import Objective


class BinaryCrossEntropy(Objective):
    """-log sigmoid(target) - mean over negatives of log(1 - sigmoid(negative)), times 1/2."""

    name: Literal["bce"]

    def per_example(self, scores: torch.Tensor, candidates: Candidates) -> torch.Tensor:
        """See `Objective`; the mean over an example's learnt positions, by weight."""
        positive, negative = target_and_negatives(scores, candidates)
        loss = functional.softplus(-positive) + negative
        return (loss * candidates.weight).sum(dim=1) / (2 * candidates.weight.sum(dim=1).clamp(min=1e-6))


def target_and_negatives(scores: torch.Tensor, candidates: Candidates) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of the targets, and the mean softplus of the usable negatives' scores; [examples, positions] each."""
    columns = candidates.columns
    target = torch.gather(scores[..., :columns], 2, candidates.target.unsqueeze(2)).squeeze(2)
    usable = ~candidates.masked[..., columns:]
    negative = (functional.softplus(scores[..., columns:]) * usable).sum(dim=-1)
    return target, negative / candidates.negatives.clamp(min=1).unsqueeze(1)
