"""Generalised binary cross-entropy: calibrates what negative sampling makes overconfident (gSASRec, Petrov and Macdonald, RecSys 2023)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from everbloom.learning.candidates import Candidates
from everbloom.learning.objectives.bce import target_and_negatives
from everbloom.methods import Objective


class GeneralisedBinaryCrossEntropy(Objective):
    """(-log sigmoid(target)^beta - sum over negatives of log(1 - sigmoid(negative))) / (k + 1), with
    beta = a (t (1 - 1/a) + 1/a), a = k / (N - 1)."""

    name: Literal["gbce"]
    calibration: Annotated[float, Field(ge=0, le=1)] = 0.75
    """The paper's t: 0 is plain BCE, 1 full calibration."""

    def per_example(self, scores: torch.Tensor, candidates: Candidates) -> torch.Tensor:
        """See `Objective`; the mean over an example's learnt positions, by weight."""
        rate = (candidates.negatives / max(candidates.items - 1, 1)).clamp(min=1e-9, max=1.0)
        beta = rate * (self.calibration * (1 - 1 / rate) + 1 / rate)
        positive, negative = target_and_negatives(scores, candidates)
        k = candidates.negatives.unsqueeze(1)
        loss = (beta.unsqueeze(1) * functional.softplus(-positive) + k * negative) / (k + 1)
        return (loss * candidates.weight).sum(dim=1) / candidates.weight.sum(dim=1).clamp(min=1e-6)
