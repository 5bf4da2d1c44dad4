"""What the low-rank adapters share: B A x beside a linear layer, of low rank."""

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from everbloom.methods import Adapter


class LowRankBranch(nn.Module):
    """alpha / rank * B A x (Hu et al., LoRA, ICLR 2022); B is zero at first."""

    def __init__(self, met: int, out: int, rank: int, alpha: float, train_a: bool) -> None:
        super().__init__()
        self.a = nn.Linear(met, rank, bias=False).requires_grad_(train_a)
        self.b = nn.Linear(rank, out, bias=False)
        self.scale = alpha / rank
        nn.init.zeros_(self.b.weight)

    def forward(self, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """x [..., met] -> [..., out]."""
        return self.b(self.a(x) * self.scale)  # type: ignore[no-any-return]


class LowRank(Adapter):
    """Fields of both kinds."""

    rank: PositiveInt = 8
    alpha: PositiveFloat = 16.0
    """The branch counts alpha / rank times."""

    def targets(self, architecture: str) -> tuple[str, ...]:
        """PEFT's table: query and value where they are layers of their own."""
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

        table: dict[str, Any] = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
        return tuple(table.get(architecture, ()))
