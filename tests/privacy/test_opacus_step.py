"""The mechanism on a device against two independent accounts of it: autograd one example at a time, and Opacus itself, set up afresh
for every client. And that no client, failed or not, reaches into the next one's sum.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, TensorDataset

from everbloom.config import LearningConfig, ModelConfig
from everbloom.data.gaps import GAP_CODES
from everbloom.learning.candidates import build_candidates, draw_negatives
from everbloom.learning.examples import Examples
from everbloom.models.recommender import Recommender, build_recommender
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.opacus_step import OpacusStep
from everbloom.privacy.plan import PrivacyPlan
from everbloom.seeding import PublicDraws

ITEMS = 20
WIDTH = 5
RATE = 0.3
NEGATIVES = draw_negatives(np.arange(ITEMS), 6, PublicDraws(3, np.arange(1), 0, 0))
FEATURES = {"features": {"name": "tfidf"}}
VARIANTS: dict[str, dict[str, Any]] = {
    "embedding": {},
    "features": {"items": {**FEATURES, "embedding": False, "bias": "features"}},
    "both": {"items": FEATURES},
    "no-bias": {"items": {"bias": "none"}},
    "behaviours": {"user": {"behaviours": True}},
    "mlp": {"score": "mlp"},
    "deep": {"user": {"layers": 2, "heads": 4}},
    "flat": {"user": {"layers": 0, "feedforward": 0}},
    "scaled": {"items": {"bias_scale": 5.0, "embedding_scale": 1.5}, "user": {"scale": 0.2, "feedforward": 0}},
    "content": {"items": FEATURES, "content": {"lags": 3}},
}


def model_of(variant: str = "both") -> Recommender:
    table = {"dim": 8, **VARIANTS[variant]}
    table["user"] = {
        "layers": 1, "heads": 2, "history": WIDTH, "feedforward": 1, "dropout": 0.0, **table.get("user", {})
    }  # fmt: skip
    config = ModelConfig.model_validate(table)
    features = np.random.default_rng(0).normal(size=(ITEMS, 6)).astype(np.float32)
    model = build_recommender(ITEMS, features if config.items.features else None, config, seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():  # zero-initialised branches would hide a mistake in what feeds them
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.train()


def examples_of(count: int, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    real = np.arange(WIDTH) < rng.integers(1, WIDTH + 1, count)[:, None]
    return Examples(
        torch.from_numpy(np.where(real, rng.integers(0, ITEMS, (count, WIDTH)), 0)),
        torch.from_numpy(np.where(real, rng.integers(0, 7, (count, WIDTH)), 0)),
        torch.from_numpy(real),
        torch.from_numpy((real * rng.choice([1.0, 2.0], (count, WIDTH))).astype(np.float32)),
        torch.arange(WIDTH).expand(count, WIDTH),
        torch.from_numpy(np.where(real, rng.integers(0, GAP_CODES, (count, WIDTH)), 0)),
    )


def losses_of(model: torch.nn.Module, examples: Examples, objective: str = "sampled-softmax") -> Callable:
    """Indices of examples -> their losses, each example with its own copy of the negatives."""
    chosen = LearningConfig.model_validate({"objective": {"name": objective}}).objective

    def losses(batch: torch.Tensor, step: int = 0) -> torch.Tensor:
        part = examples.take(batch)
        negatives = NEGATIVES.expand(len(part), -1)
        scores = model(part.items, part.circumstances, negatives, part.place)
        return chosen.per_example(scores, build_candidates(part, negatives, ITEMS))

    return losses


def generator(seed: int) -> torch.Generator:
    made = torch.Generator()
    made.manual_seed(seed)
    return made


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def restore(model: torch.nn.Module, values: torch.Tensor) -> None:
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(values.clone(), model.parameters())


def moved(
    step: OpacusStep, losses: Callable, examples: int, sampling: torch.Generator | None = None, noise: int = 0
) -> torch.Tensor:
    """What one round changes; the model is put back."""
    start = flat(step.model)
    step.run(losses, examples, sampling or generator(0), SeededNoise(generator(noise)))
    change = flat(step.model) - start
    restore(step.model, start)
    return change


def gradients_one_by_one(model: Recommender, examples: Examples, objective: str = "sampled-softmax") -> torch.Tensor:
    """[examples, params] by autograd, each example in a batch of its own."""
    losses = losses_of(model, examples, objective)
    rows = []
    for row in range(len(examples)):
        parts = torch.autograd.grad(
            losses(torch.tensor([row])).sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([part.reshape(-1) for part in parts]))
    return torch.stack(rows)


def clipped(gradients: torch.Tensor, clip: float) -> torch.Tensor:
    return gradients * (clip / (gradients.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1)


# ---- against autograd


@pytest.mark.parametrize("objective", ["sampled-softmax", "bce", "gbce"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_example_is_clipped_by_the_norm_of_its_own_whole_gradient(make_plan, variant, objective):
    """Every parameter's every use is in an example's gradient: otherwise an example could contribute more than the clip norm."""
    model = model_of(variant)
    examples = examples_of(7)
    gradients = gradients_one_by_one(model, examples, objective)
    clip = float(gradients.norm(dim=1).median())
    step = OpacusStep(make_plan(noise_multiplier=1e-9, clip_norm=clip, denominator=7.0), model, RATE)
    expected = -RATE * clipped(gradients, clip).sum(dim=0) / 7
    torch.testing.assert_close(moved(step, losses_of(model, examples, objective), 7), expected, rtol=1e-4, atol=1e-6)


def test_without_clipping_and_noise_it_is_plain_sgd_on_the_mean(make_plan):
    """Opacus at next to no noise and a huge clip, the denominator being the number of examples."""
    model, examples = model_of(), examples_of(9)
    step = OpacusStep(make_plan(noise_multiplier=1e-12, clip_norm=1e6, denominator=9.0, steps_per_round=4), model, RATE)
    plain = model_of()
    optimizer = torch.optim.SGD(plain.parameters(), lr=RATE)
    start = flat(plain)
    for _ in range(4):
        optimizer.zero_grad()
        losses_of(plain, examples)(torch.arange(9)).mean().backward()
        optimizer.step()
    torch.testing.assert_close(moved(step, losses_of(model, examples), 9), flat(plain) - start, rtol=1e-4, atol=2e-6)


def test_the_denominator_is_the_plans_whatever_a_device_holds(make_plan):
    model = model_of()
    one = OpacusStep(make_plan(noise_multiplier=1e-9, denominator=10.0), model, RATE)
    few, many = examples_of(2), examples_of(13, seed=5)
    for examples in (few, many):
        expected = -RATE * clipped(gradients_one_by_one(model_of(), examples), 1.0).sum(dim=0) / 10
        torch.testing.assert_close(
            moved(one, losses_of(model, examples), len(examples)), expected, rtol=1e-4, atol=1e-6
        )


def test_an_example_counts_the_same_whatever_stands_beside_it(make_plan):
    """Adding an example adds exactly its own clipped gradient: nothing of the others' changes."""
    model, examples = model_of(), examples_of(8)
    step = OpacusStep(make_plan(noise_multiplier=1e-9, denominator=1.0, clip_norm=0.5), model, RATE)
    losses = losses_of(model, examples)
    own = -RATE * clipped(gradients_one_by_one(model_of(), examples), 0.5)
    together = moved(step, losses, 8)
    for place in range(8):
        others = torch.tensor([row for row in range(8) if row != place])
        without = moved(step, lambda batch, step, others=others: losses(others[batch]), 7)
        torch.testing.assert_close(together - without, own[place], rtol=1e-3, atol=2e-6)
        assert float((together - without).norm()) <= RATE * 0.5 * (1 + 1e-4)


@pytest.mark.parametrize("physical", [1, 2, 3, 100])
def test_splitting_a_batch_to_fit_memory_changes_nothing(make_plan, physical):
    model, examples = model_of(), examples_of(7)
    plan = make_plan(noise_multiplier=0.7, denominator=5.0, clip_norm=0.5, steps_per_round=3)
    expected = moved(OpacusStep(plan, model, RATE), losses_of(model, examples), 7, noise=4)
    other = model_of()
    split = OpacusStep(plan, other, RATE)
    split.physical_batch = physical
    torch.testing.assert_close(moved(split, losses_of(other, examples), 7, noise=4), expected, rtol=1e-4, atol=2e-6)


# ---- against Opacus, set up afresh for every client


def fresh_opacus(
    model: Recommender, examples: Examples, plan: PrivacyPlan, sampling: torch.Generator, noise: torch.Generator
) -> tuple[torch.Tensor, list[int]]:
    """(what one epoch of an ordinary Opacus training changes, its batch sizes). With Poisson sampling the loader takes 1/q steps."""
    count, poisson = len(examples), plan.sample_rate < 1
    batch = round(plan.sample_rate * count)
    loader = DataLoader(TensorDataset(torch.arange(count)), batch_size=batch, generator=sampling)
    private = copy.deepcopy(model)
    start = flat(private)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module, optimizer, loader = PrivacyEngine().make_private(
            module=private,
            optimizer=torch.optim.SGD(private.parameters(), lr=RATE / plan.denominator),
            data_loader=loader,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.clip_norm,
            poisson_sampling=poisson,
            loss_reduction="sum",
            noise_generator=noise,
        )
        losses, sizes = losses_of(module, examples), []
        for (rows,) in loader:
            sizes.append(len(rows))
            optimizer.zero_grad()
            losses(rows.to(torch.int64)).sum().backward()
            optimizer.step()
    return flat(private) - start, sizes


@pytest.mark.parametrize("noise_multiplier", [1e-9, 0.8])
@pytest.mark.parametrize(("rate", "steps"), [(1.0, 1), (0.25, 4)])
def test_reused_over_clients_it_is_a_fresh_opacus_for_each(make_plan, rate, steps, noise_multiplier):
    """Clients of different sizes one after the other, full batch and Poisson, empty batches among them."""
    plan = make_plan(
        noise_multiplier=noise_multiplier, clip_norm=0.6, denominator=3.0, sample_rate=rate, steps_per_round=steps
    )
    model = model_of()
    reused = OpacusStep(plan, model, RATE)
    untouched = model_of()
    sizes: list[int] = []
    for client in range(8):
        examples = examples_of((4, 8, 12)[client % 3], seed=client)
        expected, batches = fresh_opacus(untouched, examples, plan, generator(client), generator(100 + client))
        sizes += batches
        sampling = generator(client)
        torch.empty((), dtype=torch.int64).random_(generator=sampling)  # the loader's base seed
        found = moved(reused, losses_of(model, examples), len(examples), sampling, noise=100 + client)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert len(batches) == steps
    if rate < 1:
        assert 0 in sizes
        assert len(set(sizes)) > 3


# ---- steps


@pytest.mark.parametrize("physical", [2, 100])
def test_a_loss_is_told_its_step(make_plan, physical):
    """Every example once a step, whatever a batch is split into: what depends on the step is the same for all its pieces."""
    model = model_of("flat")
    step = OpacusStep(make_plan(steps_per_round=3), model, RATE)
    step.physical_batch = physical
    losses, told = losses_of(model, examples_of(5)), []

    def noting(batch: torch.Tensor, step: int) -> torch.Tensor:
        told.extend((step, row) for row in batch.tolist())
        return losses(batch)

    step.run(noting, 5, generator(0), SeededNoise(generator(0)))
    assert told == [(number, row) for number in range(3) for row in range(5)]


# ---- sampling


def test_poisson_sampling_takes_each_example_independently(make_plan):
    step = OpacusStep(make_plan(sample_rate=0.3), model_of("flat"), RATE)
    sampling = generator(0)
    drawn = torch.zeros((4000, 10))
    for row in drawn:
        row[step._sample(10, sampling)] = 1
    assert drawn.mean(dim=0).tolist() == pytest.approx([0.3] * 10, abs=0.03)
    assert float(drawn.sum(dim=1).var()) == pytest.approx(10 * 0.3 * 0.7, rel=0.1)  # binomial, not a fixed size
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.07


# ---- noise and nothing else


@pytest.mark.parametrize("examples", [0, 3])
def test_the_same_noise_is_added_whatever_the_examples(make_plan, examples):
    """Noise depends on its generator alone; a device without examples releases just that."""
    model, data = model_of(), examples_of(3)
    plan = make_plan(noise_multiplier=0.8, clip_norm=0.5, denominator=4.0)
    noisy = moved(OpacusStep(plan, model, RATE), losses_of(model, data), examples, noise=6)
    quiet_model = model_of()
    quiet = make_plan(noise_multiplier=1e-12, clip_norm=0.5, denominator=4.0)
    signal = moved(OpacusStep(quiet, quiet_model, RATE), losses_of(quiet_model, data), examples)
    draw = generator(6)
    noise = torch.cat([torch.normal(0, 0.4, p.shape, generator=draw).reshape(-1) for p in model.parameters()])
    torch.testing.assert_close(noisy - signal, -RATE * noise / 4, rtol=1e-3, atol=1e-6)


# ---- what must not happen


ADVERSARIAL = [0.0, 1e-30, 1.0, 1e10, 1e30, 1e38, float("inf"), float("-inf"), float("nan")]


@pytest.mark.parametrize("factor", ADVERSARIAL)
def test_no_example_moves_the_sum_by_more_than_the_clip_norm(make_plan, factor):
    """However large an example's loss: within the sensitivity, or the result is not finite and is refused by who would send it."""
    model, examples = model_of(), examples_of(4)
    step = OpacusStep(make_plan(noise_multiplier=1e-12, denominator=1.0, clip_norm=0.5), model, 1.0)
    losses = losses_of(model, examples)

    def attacked(batch: torch.Tensor, step: int) -> torch.Tensor:
        return losses(batch) * torch.where(batch == 3, factor, 1.0)

    without = moved(step, losses, 3)
    with_it = moved(step, attacked, 4)
    if torch.isfinite(with_it).all():
        assert float((with_it - without).norm()) <= 0.5 * (1 + 1e-4)
    else:
        assert not np.isfinite(factor) or factor >= 1e30
    torch.testing.assert_close(moved(step, losses, 3), without, rtol=0, atol=0)


@pytest.mark.parametrize("when", ["forward", "second piece"])
def test_what_a_failed_client_leaves_behind_never_reaches_the_next(make_plan, when):
    """A step that dies halfway has gradients in the optimizer and activations in the model; both would be the next client's."""
    model, examples = model_of(), examples_of(6)
    step = OpacusStep(make_plan(noise_multiplier=1e-9, denominator=1.0), model, RATE)
    step.physical_batch = 3
    losses = losses_of(model, examples)
    clean = moved(step, losses, 6)
    start = flat(model)

    def dying(batch: torch.Tensor, step: int) -> torch.Tensor:
        found = losses(batch)
        if when == "forward" or 5 in batch.tolist():
            raise MemoryError("no room")
        return found

    with pytest.raises(MemoryError):
        step.run(dying, 6, generator(0), SeededNoise(generator(0)))
    restore(model, start)
    assert torch.equal(moved(step, losses, 6), clean)
