"""A round of counting under DP-SGD: the local steps, with votes in the place of gradients."""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.privacy.noise import NoiseSource


def counted_steps(
    plan: DpSgdPlan,
    voter: NDArray[np.int64],
    item: NDArray[np.int64],
    entry: NDArray[np.float32],
    examples: int,
    items: int,
    sampling: torch.Generator,
    noise: NoiseSource,
) -> NDArray[np.float32]:
    """[items] the mean over a round's steps of (sum of the sampled examples' votes + N(0, (sC)^2 I)) / denominator.

    `voter`, `item`, `entry` [pairs]: each example's vote, for distinct items.

    Formal guarantee: the one of as many DP-SGD steps of the plan. An example's vote depends on that example alone and is scaled down to the clip norm
    here, so that it moves a step's sum by no more; the examples, how they are sampled, the noise and the divisor are those of any other round.
    """
    length = np.sqrt(np.bincount(voter, entry.astype(np.float64) ** 2, minlength=examples))
    factor = np.minimum(1.0, plan.clip_norm / np.maximum(length, 1e-12))
    clipped = (entry * factor[voter]).astype(np.float32)
    total = np.zeros(items, dtype=np.float32)
    buffer = torch.empty(items)
    for _ in range(plan.steps_per_round):
        read = np.ones(examples, dtype=np.bool_)
        if plan.sample_rate < 1:
            read = (torch.rand(examples, generator=sampling) < plan.sample_rate).numpy()
        taken = read[voter]
        np.add.at(total, item[taken], clipped[taken])
        total += noise.normal(buffer, plan.noise_multiplier * plan.clip_norm).numpy()
    return total / np.float32(plan.steps_per_round * plan.denominator)
