"""The item's tower: what a language model, adapters and all, makes of an item's text."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from everbloom.config import ItemModelConfig
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.features.reduction import PrincipalMap
from everbloom.models.towers.adapted import Grouping, adapt
from everbloom.models.towers.blocks import ITEM_KEYS, activation_bytes, adapted_blocks, cut_model
from everbloom.models.towers.half import halved
from everbloom.models.towers.loading import block_count
from everbloom.models.towers.states import TextStates
from everbloom.models.towers.tokens import pool

TOKENS = 2048
"""Of one pass through the model: enough to keep the processor busy, few enough for its cache."""


class ItemTower(nn.Module):
    """item index -> content vector; the frozen features exactly while the adapters add nothing.

    Only the blocks from the lowest adapted one on are run, on cached hidden states. Rows of about one length go together.
    """

    states: torch.Tensor
    start: torch.Tensor
    length: torch.Tensor
    text: torch.Tensor

    def __init__(self, texts: TextStates, config: ItemModelConfig, reduction: PrincipalMap | None) -> None:
        """`reduction`: the public map of the frozen features to `feature_dim`. Raises `DataError` if the adapters do not fit the model."""
        super().__init__()
        assert config.tower is not None
        assert isinstance(config.features, LanguageModelFeatures)
        self.pooling = config.features.pooling
        self.dtype = config.tower.dtype
        self.reduction = None if reduction is None else _Reduction(reduction)
        self.grouping = Grouping()
        count = block_count(config.features.model, ITEM_KEYS.model)
        self.first = first = adapted_blocks(config.tower.layers, count, ITEM_KEYS)[0]
        self.model, self.injection = cut_model(config.features.model, first, ITEM_KEYS.model)
        adapt(self.model, config.tower, self.grouping, ITEM_KEYS)
        self.embedded = int(self.model.get_input_embeddings().weight.shape[1])
        # Not persistent and no parameters: public, derived from the catalogue, and never travel.
        self.register_buffer("states", torch.from_numpy(texts.states), persistent=False)
        self.register_buffer("start", torch.from_numpy(texts.offsets[:-1]), persistent=False)
        self.register_buffer("length", torch.from_numpy(texts.offsets[1:] - texts.offsets[:-1]), persistent=False)
        self.register_buffer("text", torch.from_numpy(texts.text), persistent=False)
        self.recompute: int | None = None
        self.train(self.training)

    @property
    def item_bytes(self) -> int:
        """Of activations that an item of about the average length takes."""
        return int(self._token_bytes * (float(self.length.float().mean()) + 2))

    @property
    def pass_bytes(self) -> int:
        """Of activations of one pass."""
        return TOKENS * self._token_bytes

    @property
    def _token_bytes(self) -> int:
        return activation_bytes(self.model, self.first)

    @property
    def width(self) -> int:
        """Of a content vector."""
        return int(self.states.shape[1]) if self.reduction is None else int(self.reduction.axes.shape[1])

    def train(self, mode: bool = True) -> "ItemTower":
        """The language model never drops anything out; its adapters follow."""
        super().train(mode)
        self.model.eval()
        for module in self.model.modules():
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
                module.train(mode)
        return self

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        """[...] int64 -> [..., width]. Rows of the leading dimension are examples, or clients with weights of their own."""
        rows = item.shape[0] if item.dim() > 1 else 1
        text = self.text[item].reshape(rows, -1)
        order = self.length[text].argsort(dim=1, stable=True)
        text = torch.gather(text, 1, order)
        found, kept = [], 0
        for part in self._parts(text):
            kept += part.numel() * int(self.length[part].amax()) * self._token_bytes if part.numel() else 0
            found.append(self._encoded(part, kept))
        vectors = torch.cat(found, dim=1)
        back = order.argsort(dim=1).unsqueeze(2).expand_as(vectors)
        return torch.gather(vectors, 1, back).view(*item.shape, vectors.shape[2])

    def _parts(self, text: torch.Tensor) -> list[torch.Tensor]:
        """Columns of texts [examples, columns], shortest first, in passes of about `TOKENS` tokens."""
        longest = self.length[text].amax(dim=0).tolist() if text.numel() else [1] * text.shape[1]
        parts, start = [], 0
        for stop in range(1, len(longest) + 1):
            if stop == len(longest) or (stop + 1 - start) * longest[stop] * len(text) > TOKENS:
                parts.append(text[:, start:stop])
                start = stop
        return parts or [text]

    def _encoded(self, text: torch.Tensor, kept: int) -> torch.Tensor:
        """[examples, columns] -> [examples, columns, width]; with it and all before it, `kept` bytes of activations."""
        if self.recompute is not None and kept > self.recompute and torch.is_grad_enabled():
            return checkpoint(self._pass, text, use_reentrant=False)  # type: ignore[no-any-return]
        return self._pass(text)

    def _pass(self, text: torch.Tensor) -> torch.Tensor:
        examples, columns = text.shape
        flat = text.reshape(-1)
        length = self.length[flat]
        place = torch.arange(int(length.amax()) if len(length) else 1, device=text.device)
        real = place < length.unsqueeze(1)
        token = self.start[flat].unsqueeze(1) + torch.where(real, place, 0)
        self.grouping.examples = examples
        self.injection.states = self.states[token].float()
        hidden = self._above(real)
        self.injection.states = None
        vectors = pool(hidden.float(), real.to(torch.int64), self.pooling)
        if self.reduction is not None:
            vectors = self.reduction(vectors)
        return vectors.view(examples, columns, -1)

    def _above(self, real: torch.Tensor) -> torch.Tensor:
        """Last hidden states [rows, tokens, hidden] from the injected ones."""
        nothing = torch.zeros((1, 1, 1), device=real.device).expand(*real.shape, self.embedded)
        mask = None if bool(real.all()) else real.to(torch.int64)
        with halved(self.dtype, real.device):
            return self.model(inputs_embeds=nothing, attention_mask=mask).last_hidden_state  # type: ignore[no-any-return]


@contextmanager
def recomputed(tower: ItemTower | None, keep: int) -> Iterator[None]:
    """Within, a tower keeps at most `keep` bytes of what lies between its input and its vectors, and works the rest out again on the way back: a
    whole catalogue's may fit no memory. Not where taps or Opacus listen, who would meet each use of a layer twice."""
    if tower is None:
        yield
        return
    tower.recompute = keep
    try:
        yield
    finally:
        tower.recompute = None


class _Reduction(nn.Module):
    """`PrincipalMap.apply` for tensors."""

    mean: torch.Tensor
    axes: torch.Tensor

    def __init__(self, reduction: PrincipalMap) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(reduction.mean).float(), persistent=False)
        self.register_buffer("axes", torch.from_numpy(reduction.axes).float(), persistent=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[rows, width] -> [rows, dims] of unit length."""
        return nn.functional.normalize((vectors - self.mean) @ self.axes, dim=-1)
