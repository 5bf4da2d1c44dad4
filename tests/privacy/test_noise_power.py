"""Is the noise that is really applied as large as claimed? A test with the power to notice two thirds or one and a half times of it."""

import math

import pytest
import torch
from scipy.stats import kstest
from torch import nn

from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.opacus_step import OpacusStep
from everbloom.privacy.plan import PrivacyPlan

PARAMETERS = 64 * 64
ROUNDS = 10


def released_noise(plan: PrivacyPlan, examples: int) -> torch.Tensor:
    """[rounds, params] what is released beyond the clipped sum, undone of learning rate, sign and denominator."""
    model = nn.Linear(64, 64, bias=False)
    step = OpacusStep(plan, model, learning_rate=0.5)
    inputs = torch.randn((max(examples, 1), 64), generator=torch.Generator().manual_seed(1)) * 3
    noise = torch.Generator().manual_seed(2)
    rows = []
    for _ in range(ROUNDS):
        with torch.no_grad():
            model.weight.zero_()
        step.run(lambda batch, step: model(inputs[batch]).sum(dim=1), examples, torch.Generator(), SeededNoise(noise))
        rows.append(-model.weight.detach().reshape(-1) * plan.denominator / 0.5)
    gradients = inputs[:examples].unsqueeze(1).expand(-1, 64, -1).reshape(examples, PARAMETERS)
    clip = (plan.clip_norm / (gradients.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1)
    return torch.stack(rows) - (gradients * clip).sum(dim=0)


def looks_like(noise: torch.Tensor, deviation: float) -> bool:
    """Whether these draws may have that standard deviation: the chi-square statistic within four of its own deviations."""
    count = noise.numel()
    statistic = (float((noise.double() / deviation).square().sum()) - count) / math.sqrt(2 * count)
    return abs(statistic) < 4


@pytest.mark.parametrize("examples", [0, 1, 20])
@pytest.mark.parametrize(("noise_multiplier", "clip_norm", "denominator"), [(1.0, 1.0, 10.0), (2.5, 0.3, 50.0)])
def test_the_noise_is_as_large_as_claimed(make_plan, examples, noise_multiplier, clip_norm, denominator):
    claimed = {"noise_multiplier": noise_multiplier, "clip_norm": clip_norm, "denominator": denominator}
    deviation = noise_multiplier * clip_norm
    assert looks_like(released_noise(make_plan(**claimed), examples), deviation)
    for wrong in (2 / 3, 3 / 2):
        mistaken = make_plan(**{**claimed, "noise_multiplier": noise_multiplier * wrong})
        assert not looks_like(released_noise(mistaken, examples), deviation)


def test_each_step_of_a_round_has_its_own_noise(make_plan):
    """k steps add k independent draws: the variance is k times one's, not k squared and not one."""
    noise = released_noise(make_plan(steps_per_round=4), 0)
    assert looks_like(noise, 2.0)
    assert not looks_like(noise, 4.0)
    assert not looks_like(noise, 1.0)


def test_the_noise_is_gaussian_and_no_two_numbers_share_it(make_plan):
    noise = released_noise(make_plan(), 0)
    assert kstest(noise.reshape(-1).numpy(), "norm").pvalue > 1e-3
    between_rounds = torch.corrcoef(noise).fill_diagonal_(0).abs().max()
    assert between_rounds < 5 / math.sqrt(PARAMETERS)
    assert abs(float(torch.corrcoef(torch.stack([noise[:, 1:].reshape(-1), noise[:, :-1].reshape(-1)]))[0, 1])) < 0.02
