"""Bottleneck adapters: a small hidden layer after the attention and after the feed-forward part of a block."""

from typing import ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import nn
from torch.nn import functional

from everbloom.methods import Adapter

_TARGETS = {
    "bert": ("attention.output.dense", "output.dense"),
    "roberta": ("attention.output.dense", "output.dense"),
    "xlm-roberta": ("attention.output.dense", "output.dense"),
    "distilbert": ("out_lin", "lin2"),
    "gpt2": ("attn.c_proj", "mlp.c_proj"),
    "gpt_neox": ("attention.dense", "dense_4h_to_h"),
    "opt": ("out_proj", "fc2"),
    "llama": ("o_proj", "down_proj"),
    "mistral": ("o_proj", "down_proj"),
    "qwen2": ("o_proj", "down_proj"),
    "qwen3": ("o_proj", "down_proj"),
    "gemma": ("o_proj", "down_proj"),
}
"""The two layers of a block that write to its residual stream."""


class BottleneckBranch(nn.Module):
    """up(gelu(down(h))) of a layer's output h; `up` is zero at first."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """out [..., width] -> the same shape."""
        return self.up(functional.gelu(self.down(out)))  # type: ignore[no-any-return]


class Bottleneck(Adapter):
    """Houlsby et al., ICML 2019 (arXiv 1902.00751). **Averaging is not exact**: a mean of two-layer networks is not the network of mean layers."""

    name: Literal["bottleneck"]
    exact_averaging: ClassVar[bool] = False
    hidden: PositiveInt = 16
    """Width of the hidden layer."""

    def branch(self, met: int, out: int) -> nn.Module:
        """See `Adapter`."""
        return BottleneckBranch(out, self.hidden)

    def targets(self, architecture: str) -> tuple[str, ...]:
        """The output layers of attention and feed-forward."""
        return _TARGETS.get(architecture, ())
