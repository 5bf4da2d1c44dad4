"""Several modalities of an item as one vector: an adapter each, mixed by gates that see what the item is."""

import torch
from torch import nn
from torch.nn import functional

from everbloom.models.features.blocks import ItemFeatures


class GatedFusion(nn.Module):
    """vector = sum_m g_m A_m f_m over the modalities m that an item has, with g = e / |e| and e_m = weight_m exp(b_m + <q_m, f>).

    Gates of unit length, unlike those of a softmax, leave a vector as long as it would be with fewer modalities: what different modalities add is
    about orthogonal, so that squares add up. Untrained (b = q = 0) it is one linear adapter over `ItemFeatures.fused`; an item that has no modality
    at all has vector 0. f is all of the item's features, 0 where a modality is missing.
    """

    features: torch.Tensor
    present: torch.Tensor

    def __init__(self, features: ItemFeatures, dim: int) -> None:
        super().__init__()
        self.widths = features.widths
        self.dim = dim
        present = torch.from_numpy(features.present) * torch.tensor(features.weights)
        self.register_buffer("features", torch.from_numpy(features.matrix), persistent=False)
        self.register_buffer("present", present.float(), persistent=False)
        self.adapters = nn.ModuleList(nn.Linear(width, dim, bias=False) for width in self.widths)
        self.gate = nn.Linear(sum(self.widths), len(self.widths))
        self._reset(dim)

    @property
    def item_bytes(self) -> int:
        """Of activations that an item takes: features, what each adapter makes of them, and the gradients of both."""
        return 4 * 2 * (sum(self.widths) + len(self.widths) * self.dim)

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        """[...] int64 -> vectors [..., dim]."""
        features = functional.embedding(item, self.features)
        gates = self._gates(features, functional.embedding(item, self.present))
        parts = features.split(self.widths, dim=-1)
        adapted = [adapter(part) for adapter, part in zip(self.adapters, parts, strict=True)]
        return (torch.stack(adapted, dim=-1) * gates.unsqueeze(-2)).sum(dim=-1)

    def gates(self, item: torch.Tensor) -> torch.Tensor:
        """[...] int64 -> [..., modalities]: how much each modality counts in an item; 0 for what it lacks."""
        return self._gates(functional.embedding(item, self.features), functional.embedding(item, self.present))

    def _gates(self, features: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.gate(features)
        shifted = logits - logits.detach().amax(dim=-1, keepdim=True)  # of no effect but on overflow
        return functional.normalize(present * shifted.exp(), dim=-1, eps=1e-12)

    def _reset(self, dim: int) -> None:
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        whole = nn.init.orthogonal_(torch.empty(dim, sum(self.widths)))
        with torch.no_grad():
            for adapter, part in zip(self.adapters, whole.split(self.widths, dim=1), strict=True):
                adapter.weight.copy_(part)  # type: ignore[operator]
