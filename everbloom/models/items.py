"""Item vectors: an adapter over the frozen features of an item's content, plus a collaborative embedding; and a popularity bias."""

import torch
from torch import nn
from torch.nn import functional

from everbloom.config import ItemModelConfig
from everbloom.models.features.reduction import PrincipalMap
from everbloom.models.fusion import GatedFusion
from everbloom.models.towers.item import ItemTower
from everbloom.models.towers.states import TextStates


class ItemEncoder(nn.Module):
    """item index -> vector [dim] and bias.

    Every parameter is read through a module call on an input with a leading example dimension, so that per-example gradients see all of its uses.
    """

    features: torch.Tensor | None

    def __init__(
        self,
        items: int,
        dim: int,
        features: torch.Tensor | None,
        config: ItemModelConfig,
        texts: TextStates | None = None,
        reduction: PrincipalMap | None = None,
        fusion: GatedFusion | None = None,
    ) -> None:
        """`features` [items, width] float32, or None; with a tower also `texts`, and the `reduction` that made the features of the whole ones.
        `fusion`: of the features' modalities, in place of one adapter over all."""
        super().__init__()
        self.items = items
        # Not persistent and no parameter: features are public, derived from the catalogue, and never travel.
        self.register_buffer("features", features, persistent=False)
        self.tower = None
        """Makes the features, where the language model is fine-tuned."""
        if config.tower is not None:
            assert texts is not None, "the catalogue's texts come with [model.items.tower]"
            self.tower = ItemTower(texts, config, reduction)
        self.adapter = None if features is None or fusion is not None else nn.Linear(features.shape[1], dim, bias=False)
        self.fusion = fusion
        self.embedding = nn.Embedding(items, dim) if config.embedding else None
        self.item_bias = nn.Embedding(items, 1) if config.bias == "item" else None
        self.feature_bias = (
            nn.Linear(features.shape[1], 1, bias=False) if features is not None and config.bias == "features" else None
        )
        self.bias_scale = config.bias_scale
        self.embedding_scale = config.embedding_scale
        self._reset()
        self.trains_adapter = self.adapter is not None and config.train_adapter
        if self.adapter is not None:
            self.adapter.requires_grad_(config.train_adapter)

    @property
    def linear(self) -> bool:
        """Whether its layers meet fixed features and nothing else, so that norms of its gradients follow from those of the item vectors."""
        return self.tower is None and self.fusion is None

    def forward(self, item: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[...] int64 -> vectors [..., dim], biases [...]."""
        bias = torch.zeros(item.shape, device=item.device)
        vector = torch.zeros((), device=item.device)
        if self.features is not None:
            features = functional.embedding(item, self.features) if self.tower is None else self.tower(item)
            if self.adapter is not None:
                vector = vector + self.adapter(features)
            if self.feature_bias is not None:
                bias = bias + self.feature_bias(features).squeeze(-1)
        if self.fusion is not None:
            vector = vector + self.fusion(item)
        if self.embedding is not None:
            vector = vector + self.embedding(item) * self.embedding_scale
        if self.item_bias is not None:
            bias = bias + self.item_bias(item).squeeze(-1)
        return vector, bias * self.bias_scale

    def catalogue(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors [items, dim] and biases [items] of every item."""
        device = next(self.parameters()).device
        return self.forward(torch.arange(self.items, device=device))

    def _reset(self) -> None:
        # Orthogonal: distances between item texts survive the adapter, so training starts from text similarity and not from noise.
        if self.adapter is not None:
            nn.init.orthogonal_(self.adapter.weight)
        if self.embedding is not None:
            spread = 0.02 if self.features is not None else self.embedding.embedding_dim**-0.5
            nn.init.normal_(self.embedding.weight, std=spread / self.embedding_scale)
        for bias in (self.item_bias, self.feature_bias):
            if bias is not None:
                nn.init.zeros_(bias.weight)
