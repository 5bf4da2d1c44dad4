"""One client's training: plain SGD as torch alone does it, FedProx, and what a device must refuse to send."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from everbloom.config import LearningConfig, ModelConfig
from everbloom.errors import InputError
from everbloom.learning.candidates import draw_negatives
from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender, build_recommender
from everbloom.models.users import Circumstances
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.plan import PrivacyPlan
from everbloom.seeding import PublicDraws, torch_generator

ITEMS = 25
LENGTH = 5
MODEL = {"dim": 8, "user": {"layers": 1, "heads": 2, "history": LENGTH, "feedforward": 1, "dropout": 0.0}}


def new_model(**tables: object) -> Recommender:
    return build_recommender(ITEMS, None, ModelConfig.model_validate({**MODEL, **tables}), seed=5)


def trainer(
    plan: PrivacyPlan | None = None, model: Recommender | None = None, **learning: object
) -> tuple[LocalTrainer, np.ndarray]:
    """(trainer, the parameters of a fresh model)."""
    model = model or new_model()
    layout = ParameterLayout.of(model)
    start = layout.flat(model)
    return LocalTrainer(model, layout, LearningConfig.model_validate(learning), plan), start


def draws(round: int = 1) -> Draws:
    return Draws(
        np.uint64(round),
        torch_generator(0, "sampling", round=round),
        SeededNoise(torch_generator(0, "noise", round=round)),
    )


def windows(count: int, seed: int = 0) -> Examples:
    """Examples of different lengths; some positions are not learnt."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, LENGTH + 1, count)
    real = np.arange(LENGTH) < lengths[:, None]
    items = np.where(real, rng.integers(0, ITEMS, (count, LENGTH)), 0)
    weight = np.where(real, rng.choice([0.0, 1.0, 2.0], (count, LENGTH)), 0)
    weight[:, 0] = 1
    return Examples(
        torch.from_numpy(items),
        torch.zeros((count, LENGTH), dtype=torch.int64),
        torch.from_numpy(real),
        torch.from_numpy(weight.astype(np.float32)),
        torch.arange(LENGTH).expand(count, LENGTH),
        torch.zeros((count, LENGTH), dtype=torch.int64),
    )


NEGATIVES = draw_negatives(np.arange(ITEMS), 9, PublicDraws(1, np.arange(1), 0, 0))


def loss_of_example(model: Recommender, items: list[int], weight: list[float], negatives: list[int]) -> torch.Tensor:
    """Sampled softmax by its definition, from the scores of the whole catalogue, one position at a time."""
    own = list(dict.fromkeys(items))
    others = [item for item in negatives if item not in own]
    stands_for = torch.tensor([1.0] * len(own) + [(ITEMS - len(own)) / len(others)] * len(others))
    total = torch.zeros(())
    for place, one in enumerate(items):
        if weight[place]:
            read = torch.tensor([items[:place]], dtype=torch.int64)
            scores = model.rank_catalogue(
                read, Circumstances(torch.zeros_like(read)), torch.tensor([place]), model.catalogue()
            )[0]
            chance = torch.exp(scores[own + others]) * stands_for
            total = total - weight[place] * torch.log(chance[own.index(one)] / chance.sum())
    return total / sum(weight)


def mean_loss(model: Recommender, examples: Examples) -> torch.Tensor:
    rows = [
        loss_of_example(
            model,
            examples.items[row][examples.real[row]].tolist(),
            examples.weight[row][examples.real[row]].tolist(),
            NEGATIVES[0].tolist(),
        )
        for row in range(len(examples))
    ]
    return torch.stack(rows).mean()


def sgd(examples: Examples, rate: float, steps: int, mu: float = 0.0) -> np.ndarray:
    """The delta that torch's own SGD makes, with the proximal term written into the loss."""
    model = new_model()
    layout = ParameterLayout.of(model)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    before = layout.flat(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(steps):
        loss = mean_loss(model, examples)
        for parameter, anchor in zip(model.parameters(), start, strict=True):
            loss = loss + mu / 2 * ((parameter - anchor) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layout.flat(model) - before


@pytest.mark.parametrize("steps", [1, 3])
def test_local_training_is_plain_sgd(steps):
    local, start = trainer(learning_rate=0.5, local_steps=steps)
    found = local.update(start, windows(6), NEGATIVES, draws())
    np.testing.assert_allclose(found, sgd(windows(6), 0.5, steps), atol=2e-6)
    assert np.abs(found).max() > 1e-2


def test_fedprox_at_zero_is_fedavg_exactly():
    plain, start = trainer(learning_rate=0.5, local_steps=3)
    prox, _ = trainer(learning_rate=0.5, local_steps=3, proximal_mu=0.0)
    one = plain.update(start, windows(6), NEGATIVES, draws())
    assert np.array_equal(one, prox.update(start, windows(6), NEGATIVES, draws()))


def test_fedprox_is_the_proximal_term_in_the_loss():
    prox, start = trainer(learning_rate=0.5, local_steps=4, proximal_mu=0.7)
    np.testing.assert_allclose(
        prox.update(start, windows(6), NEGATIVES, draws()), sgd(windows(6), 0.5, 4, mu=0.7), atol=3e-6
    )


@pytest.mark.parametrize("private", [False, True])
def test_fedprox_stays_nearer_to_the_start(make_plan, private):
    """The pull is towards the global parameters, under privacy too: it is added to the noised gradient."""
    plan = make_plan(steps_per_round=5, noise_multiplier=1e-6, clip_norm=1.0) if private else None
    moved = []
    for mu in (0.0, 0.3, 1.0):
        local, start = trainer(plan, learning_rate=0.5, local_steps=5, proximal_mu=mu)
        moved.append(float(np.linalg.norm(local.update(start, windows(6), NEGATIVES, draws()))))
    assert moved[0] > 1.05 * moved[1] > 1.05**2 * moved[2] > 0


def test_fedprox_under_privacy_is_fedprox(make_plan):
    """Without clipping and with next to no noise: the steps of FedProx without privacy."""
    plan = make_plan(noise_multiplier=1e-9, clip_norm=1e3, denominator=6.0, steps_per_round=3)
    private, start = trainer(plan, learning_rate=0.5, local_steps=3, proximal_mu=0.7)
    found = private.update(start, windows(6), NEGATIVES, draws())
    np.testing.assert_allclose(found, sgd(windows(6), 0.5, 3, mu=0.7), atol=1e-5)


def test_a_client_leaves_no_trace_for_the_next():
    local, start = trainer(learning_rate=0.5, local_steps=2)
    alone = local.update(start, windows(4), NEGATIVES, draws())
    local.update(start + 1, windows(9, seed=8), NEGATIVES, draws(2))
    assert np.array_equal(local.update(start, windows(4), NEGATIVES, draws()), alone)


def test_an_update_changes_neither_its_arguments_nor_the_global_generator():
    local, start = trainer(learning_rate=0.5)
    before, state = start.copy(), torch.get_rng_state()
    local.update(start, windows(4), NEGATIVES, draws())
    assert np.array_equal(start, before)
    assert torch.equal(torch.get_rng_state(), state)


def dropping() -> Recommender:
    return new_model(user={**MODEL["user"], "dropout": 0.5})


def test_dropout_is_the_rounds_own():
    local, start = trainer(model=dropping())
    one, same, other = (local.update(start, windows(4), NEGATIVES, draws(round)) for round in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("steps", [1, 3])
def test_dropout_is_each_steps_own_and_the_same_under_privacy(make_plan, steps):
    """Full-batch steps with new masks for each; in pieces and without clipping and noise they are the same ones."""
    local, start = trainer(model=dropping(), learning_rate=0.5, local_steps=steps)
    found = local.update(start, windows(6), NEGATIVES, draws())
    plan = make_plan(noise_multiplier=1e-9, clip_norm=1e3, denominator=6.0, steps_per_round=steps)
    private, _ = trainer(plan, dropping(), learning_rate=0.5, local_steps=steps)
    private.private.physical_batch = 4
    np.testing.assert_allclose(private.update(start, windows(6), NEGATIVES, draws()), found, atol=1e-5)
    each, _ = trainer(model=dropping(), learning_rate=0.5)
    again = start
    for _ in range(steps):  # one step at a time begins with the same masks each time
        again = again + each.update(again, windows(6), NEGATIVES, draws())
    assert np.allclose(again - start, found, atol=1e-5) == (steps == 1)


def test_nothing_to_learn_is_no_change_without_privacy_and_noise_with_it(make_plan):
    nothing = windows(4).take(torch.zeros(0, dtype=torch.int64))
    local, start = trainer()
    assert not local.update(start, nothing, NEGATIVES, draws()).any()
    private, start = trainer(make_plan())
    delta = private.update(start, nothing, NEGATIVES, draws())
    assert np.std(delta) == pytest.approx(0.1, rel=0.1)  # learning rate 1, noise 1, denominator 10


@pytest.fixture(params=["plain", "private"])
def any_trainer(request: pytest.FixtureRequest, make_plan) -> tuple[LocalTrainer, np.ndarray]:
    return trainer(make_plan() if request.param == "private" else None)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e38])
def test_a_number_that_is_none_never_leaves_the_device(any_trainer: Callable, poison):
    """Parameters made to break the local step: the device refuses, and serves the next round unharmed."""
    local, start = any_trainer
    bad = start.copy()
    bad[: len(bad) // 2] = poison
    before = local.update(start, windows(4), NEGATIVES, draws())
    with pytest.raises(InputError, match="not finite"):
        local.update(bad, windows(4), NEGATIVES, draws())
    assert np.array_equal(local.update(start, windows(4), NEGATIVES, draws()), before)
