"""Sampled softmax over the example's own items and uniform negatives, with the importance correction."""

from typing import Any, Literal

import torch
from torch.autograd.function import once_differentiable

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
        own, other = candidates.masked[..., :columns], candidates.masked[..., columns:]
        if self.mask_history:
            place = torch.arange(columns, device=scores.device)
            own = own | ((place < candidates.place.unsqueeze(2)) & (place != candidates.target.unsqueeze(2)))
        loss: torch.Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            scores, own, other, correction, candidates.target
        )
        return (loss * candidates.weight).sum(dim=1) / candidates.weight.sum(dim=1).clamp(min=1e-6)


class _CrossEntropy(torch.autograd.Function):
    """log of the sum of exp over what is not masked, minus the target's score; its gradient p - 1[target] is ready when the loss is.

    A closed form, because autograd through the same steps reads and writes scores, the largest tensor of a pass, some three times as often.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scores: torch.Tensor,
        own: torch.Tensor,
        other: torch.Tensor,
        correction: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor:
        """[examples, scored, own + k] scores; masks [examples, 1 | scored, own] and [examples, 1, k] -> losses [examples, scored]."""
        target = target.unsqueeze(2)
        chosen = torch.gather(scores, 2, target)
        share = scores.clone()
        share[..., : own.shape[2]].masked_fill_(own, float("-inf"))
        share[..., own.shape[2] :].add_(correction).masked_fill_(other, float("-inf"))
        greatest = share.amax(dim=2, keepdim=True)
        total = share.sub_(greatest).exp_().sum(dim=2, keepdim=True)
        ctx.save_for_backward(share.div_(total), target)
        return (total.log() + greatest - chosen).squeeze(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        """The gradient of the scores."""
        share, target = ctx.saved_tensors
        gradient = gradient.unsqueeze(2)
        return (share * gradient).scatter_add_(2, target, -gradient), None, None, None, None
