"""LoRA with both factors trained."""

from typing import ClassVar, Literal

from torch import nn

from everbloom.models.towers.adapters.low_rank import LowRank, LowRankBranch


class Lora(LowRank):
    """Hu et al., ICLR 2022 (arXiv 2106.09685). **Averaging is not exact**: mean(B_k) mean(A_k) is not mean(B_k A_k), and under privacy the noises of
    both factors are multiplied. Choose it to compare, or where everybody trains one step from the same point: the difference is of second order.
    """

    name: Literal["lora"]
    exact_averaging: ClassVar[bool] = False

    def branch(self, met: int, out: int) -> nn.Module:
        """See `Adapter`."""
        return LowRankBranch(met, out, self.rank, self.alpha, train_a=True)
