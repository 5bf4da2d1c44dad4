"""FFA-LoRA: low-rank adaptation of which one factor is frozen, so that averaging devices' factors averages what they do."""

from typing import ClassVar, Literal

from torch import nn

from everbloom.models.towers.adapters.low_rank import LowRank, LowRankBranch


class FfaLora(LowRank):
    """Sun et al., *Improving LoRA in Privacy-preserving Federated Learning*, ICLR 2024 (arXiv 2403.12313): A is drawn from the experiment's public
    seed and frozen, B is trained. mean(B_k) A = mean(B_k A), half of the parameters travel, and noise is not multiplied with noise.
    """

    name: Literal["ffa-lora"]
    exact_averaging: ClassVar[bool] = True

    def branch(self, met: int, out: int) -> nn.Module:
        """See `Adapter`."""
        return LowRankBranch(met, out, self.rank, self.alpha, train_a=False)
