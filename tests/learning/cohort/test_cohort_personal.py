"""What each client learns for itself, in a cohort and on its own device: the same numbers, and in nobody else's."""

import dataclasses

import numpy as np
import pytest
import torch

from everbloom.config import ModelConfig
from everbloom.learning.candidates import build_candidates
from everbloom.learning.local import Draws, LocalTrainer

SIZES = (4, 0, 1, 9, 2)
RATE = 0.3


@pytest.fixture
def personal_case(case_of):
    """(variant, steps, ...) -> a case whose clients have learnt something for themselves already."""

    def build(variant="both", steps=1, sizes=SIZES, **options):
        case = case_of(variant, sizes, local_steps=steps, personal_rate=RATE, **options)
        config = ModelConfig.model_validate(
            {**case.config.model_dump(), "user": {**case.config.user.model_dump(), "personal": True}}
        )
        own = torch.randn((len(sizes), config.dim), generator=torch.Generator().manual_seed(3))
        return dataclasses.replace(case, config=config, cohort=dataclasses.replace(case.cohort, kept=own))

    return build


def devices(case):
    """(deltas [clients, params], personal parameters [clients, dim] after it) of each client on its own device."""
    trainer = LocalTrainer(case.model(), case.layout, case.learning, case.plan)
    own, deltas = case.cohort.kept.numpy().copy(), []
    for client, key in enumerate(case.cohort.dropout):
        negatives = case.cohort.negatives[client : client + 1]
        deltas.append(trainer.update(case.start, case.examples(client), negatives, Draws(key, None, None), own[client]))
    return np.array(deltas), own


@pytest.mark.parametrize("variant", ["both", "mlp", "gaps", "content", "flat"])
@pytest.mark.parametrize("steps", [1, 3])
def test_together_and_apart_are_each_clients_own_device(personal_case, agree, kind, variant, steps):
    """One step through the sum of gradients, several through parameters of each client's own; batches of one unit and of all."""
    case = personal_case(variant, steps, kind=kind, dropout=0.2, proximal_mu=0.1)
    assert case.layout.names("personal") == ("personal.weight",)
    deltas, own = devices(case)
    moved = np.linalg.norm(own - case.cohort.kept.numpy(), axis=1)
    assert (moved > 0).tolist() == [size > 0 for size in SIZES]
    for batch in (None, 1):
        each, total = (getattr(case.engine(batch), name)(case.start, case.cohort) for name in ("each", "total"))
        for found, expected in zip(each.deltas, deltas, strict=True):
            agree(found, expected)
        agree(total.deltas[0], deltas.sum(axis=0))
        agree(each.kept, own)
        agree(total.kept, own)


def test_one_step_is_down_the_gradient_of_the_mean_loss(personal_case, agree):
    """By automatic differentiation of the recommender as it is, all other parameters where the offset is."""
    case = personal_case(sizes=(3,))
    model, examples = case.model(), case.examples(0)
    with torch.no_grad():
        model.personal.weight.add_(case.cohort.kept)
    scores = model(examples.items, examples.circumstances, case.cohort.negatives, examples.place)
    candidates = build_candidates(examples, case.cohort.negatives, model.item.items)
    case.learning.objective.per_example(scores, candidates).mean().backward()
    found = case.engine().total(case.start, case.cohort)
    agree(found.kept, case.cohort.kept - RATE * model.personal.weight.grad)
    named = dict(model.named_parameters())
    gradient = torch.cat([named[name].grad.reshape(-1) for name in case.layout.names("shared")])
    agree(found.deltas[0], -case.learning.learning_rate * gradient)


@pytest.mark.parametrize("steps", [1, 3])
def test_it_is_no_part_of_what_is_sent(personal_case, steps):
    """The message is as long as without, and the first step's gradients do depend on it."""
    case = personal_case(steps=steps)
    plain = dataclasses.replace(case, cohort=dataclasses.replace(case.cohort, kept=None))
    found, nothing = (some.engine().total(case.start, some.cohort) for some in (case, plain))
    assert found.deltas.shape == (1, case.layout.size()) == nothing.deltas.shape
    assert case.layout.size() == sum(p.numel() for p in case.model().parameters()) - case.config.dim
    assert np.linalg.norm(found.deltas - nothing.deltas) > 1e-3
    assert np.abs(nothing.kept[0]).max() > 0


@pytest.mark.parametrize("steps", [1, 2])
def test_whose_update_is_no_number_keeps_what_it_had(personal_case, steps):
    case = personal_case("embedding", steps, (4, 3, 0, 5, 2), rare=[1, 4], swell=1e30)
    before = case.cohort.kept.clone()
    for update in (case.engine().total(case.start, case.cohort), case.engine().each(case.start, case.cohort)):
        assert update.trained.tolist() == [True, False, True, True, False]
        assert np.isfinite(update.kept).all()
        assert np.array_equal(update.kept[[1, 2, 4]], before[[1, 2, 4]])
        assert (np.abs(update.kept[[0, 3]] - before[[0, 3]].numpy()).max(axis=1) > 0).all()
    assert torch.equal(case.cohort.kept, before)


def test_a_clipped_update_clips_nothing_of_it(personal_case, small, study_of, agree):
    """By the user: the bound holds for what leaves, however far the device's own parameters go."""
    privacy = {"unit": "user", "epsilon": 4.0, "delta": 1e-4, "clip_norm": 1e-3}
    plan = study_of(small(privacy=privacy, federation={"sampler": "poisson"})).plan
    case = personal_case()
    clipped = dataclasses.replace(case, plan=plan)
    found, free = (some.engine().total(case.start, case.cohort) for some in (clipped, case))
    assert np.linalg.norm(found.deltas[0, : case.layout.size()]) < 4.01e-3 < np.linalg.norm(free.deltas)
    agree(found.kept, free.kept)
