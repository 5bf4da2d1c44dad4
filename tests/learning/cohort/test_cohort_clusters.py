"""Several models, of which each client trains the one that fits it best: the paper's loop, one device after the other, and a cohort agree."""

import dataclasses

import numpy as np
import pytest
import torch

from everbloom.learning.clustered import best_copies, chosen, clustered_update
from everbloom.learning.cohort.clustered import ClusteredTraining, plans_of
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.models.copies import Copies
from everbloom.privacy.release import UpdateRelease

SIZES = (4, 0, 1, 9, 2, 0, 3)
LAYERS = [(), ("user.",)]


@pytest.fixture(params=LAYERS)
def clusters(request, case_of):
    """(case, copies, [params] of three models that differ, what clients kept)."""
    case = case_of("mlp", SIZES, local_steps=2, dropout=0.2)
    copies = Copies(case.layout, 3, request.param)
    drawn = np.random.default_rng(5)
    vector = np.zeros(copies.layout.size(), dtype=np.float32)
    for copy in range(3):
        copies.put(vector, copy, case.start + 0.3 * drawn.normal(size=len(case.start)).astype(np.float32))
    kept = torch.tensor([[0], [2], [0], [1], [0], [0], [3]], dtype=torch.float32)
    return dataclasses.replace(case, cohort=dataclasses.replace(case.cohort, kept=kept)), copies, vector


def by_the_paper(case, copies, vector):
    """(deltas [clients, params], choice [clients]) of a loop over clients and models."""
    trainer = LocalTrainer(case.model(), case.layout, case.learning, None)
    deltas, choice = [], []
    for client, key in enumerate(case.cohort.dropout):
        examples, negatives = case.examples(client), case.cohort.negatives[client : client + 1]
        models = [copies.taken(vector, copy) for copy in range(copies.number)]
        losses = [
            trainer.losses(model, examples, negatives, np.zeros(0, np.float32)).mean()
            for model in models
            if len(examples)
        ]
        chosen_one = int(np.argmin(losses)) if losses else None
        delta = np.zeros(len(vector), dtype=np.float32)
        if chosen_one is not None:
            copies.put(
                delta, chosen_one, trainer.update(models[chosen_one], examples, negatives, Draws(key, None, None))
            )
        deltas.append(delta)
        choice.append(chosen_one)
    return np.array(deltas), choice


def test_a_cohort_is_the_papers_loop(clusters, agree):
    case, copies, vector = clusters
    deltas, choice = by_the_paper(case, copies, vector)
    assert len({one for one in choice if one is not None}) > 1, "the clients should differ"
    before = case.cohort.kept.numpy()[:, 0]
    expected = [before[n] if one is None else one + 1 for n, one in enumerate(choice)]
    for batch in (None, 1):
        training = ClusteredTraining(case.engine(batch), copies)
        each, total = training.each(vector, case.cohort), training.total(vector, case.cohort)
        for found, delta in zip(each.deltas, deltas, strict=True):
            agree(found, delta)
        agree(total.deltas[0], deltas.sum(axis=0))
        for update in (each, total):
            assert update.trained.all()
            np.testing.assert_array_equal(update.kept[:, 0], expected)


def test_one_device_is_one_client_of_it(clusters, agree):
    case, copies, vector = clusters
    deltas, _ = by_the_paper(case, copies, vector)
    cohort = ClusteredTraining(case.engine(), copies).each(vector, case.cohort)
    trainer, kept = LocalTrainer(case.model(), case.layout, case.learning, None), case.cohort.kept.numpy().copy()
    for client, key in enumerate(case.cohort.dropout):
        negatives, draws = case.cohort.negatives[client : client + 1], Draws(key, None, None)
        delta = clustered_update(trainer, copies, vector, case.examples(client), negatives, draws, kept[client])
        agree(delta, deltas[client])
    np.testing.assert_array_equal(kept, cohort.kept)


def test_models_that_nobody_chose_do_not_move(clusters):
    case, copies, vector = clusters
    found = ClusteredTraining(case.engine(), copies).each(vector, case.cohort)
    choice = chosen(found.kept)
    for client, delta in enumerate(found.deltas):
        for copy in range(copies.number):
            own = np.zeros_like(vector)
            copies.put(own, copy, np.ones(len(case.start), dtype=np.float32))
            others = [other for other in range(copies.number) if other != copy]
            shared = np.zeros_like(vector)
            for other in others:
                copies.put(shared, other, np.ones(len(case.start), dtype=np.float32))
            moved = np.abs(delta[(own > 0) & (shared == 0)]).max()
            assert (moved > 0) == (copy == choice[client] and SIZES[client] > 0)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a trainer reads of a plan by the user."""

    release: UpdateRelease
    clip_norm: float
    dp_sgd: None = None


def test_a_clipped_sum_is_the_sum_of_the_clipped(clusters, agree):
    """And counts who was within the bound, whichever model that was."""
    case, copies, vector = clusters
    deltas, _ = by_the_paper(case, copies, vector)
    norms = np.linalg.norm(deltas, axis=1)
    bound = 0.99 * float(np.median(norms[norms > 0]))
    expected = (deltas * np.minimum(1, bound / np.maximum(norms, 1e-12))[:, None]).sum(axis=0)
    plan = Plan(UpdateRelease(tells_clipping=True), bound)
    assert plans_of(plan, copies) == (plan, None)
    training = ClusteredTraining(dataclasses.replace(case, plan=plan).engine(), copies)
    total, each = training.total(vector, case.cohort), training.each(vector, case.cohort)
    agree(total.deltas[0, :-1], expected)
    assert total.deltas[0, -1] == (norms <= bound).sum() - 0.5 * len(norms)
    agree(each.deltas.sum(axis=0), total.deltas[0])
    assert np.linalg.norm(each.deltas[:, :-1], axis=1).max() <= bound


def test_a_devices_own_noise_lies_on_all_models(clusters):
    """It must not show which one was trained."""
    case, copies, vector = clusters
    plan = Plan(UpdateRelease(noise_multiplier=2.0), 0.1)
    inner, outer = plans_of(plan, copies)
    assert (inner, outer) == (None, plan)
    sources = tuple(Draws(key, None, _Seeded(number)) for number, key in enumerate(case.cohort.dropout))
    cohort = dataclasses.replace(case.cohort, draws=lambda: sources)
    training = ClusteredTraining(dataclasses.replace(case, plan=inner).engine(), copies, outer)
    found = training.each(vector, cohort)
    np.testing.assert_allclose(found.deltas.std(axis=1), 0.2, rtol=0.15)
    for copy in range(copies.number):
        parts = np.stack([copies.taken(delta, copy) for delta in found.deltas])
        np.testing.assert_allclose(parts.std(axis=1), 0.2, rtol=0.25)
    np.testing.assert_allclose(training.total(vector, cohort).deltas[0], found.deltas.sum(axis=0), rtol=1e-4, atol=1e-4)


class _Seeded:
    """A source of noise that begins anew with each call."""

    def __init__(self, seed):
        self.seed = seed

    def normal(self, like, deviation):
        return torch.randn(like.shape, generator=torch.Generator().manual_seed(self.seed)) * deviation


@pytest.mark.parametrize("way", ["each", "total"])
def test_who_diverges_keeps_what_it_chose_before(case_of, way):
    case = case_of("embedding", (4, 3, 0, 5, 2), local_steps=2, rare=[1, 4], swell=1e30)
    copies = Copies(case.layout, 2)
    vector = np.concatenate([case.start, case.start + np.float32(0.1)])
    cohort = dataclasses.replace(case.cohort, kept=torch.tensor([[0.0], [2], [1], [0], [0]]))
    found = getattr(ClusteredTraining(case.engine(), copies), way)(vector, cohort)
    assert found.trained.tolist() == [True, False, True, True, False]
    assert found.kept[[1, 2, 4], 0].tolist() == [2, 1, 0]
    assert (found.kept[[0, 3], 0] > 0).all()
    assert np.isfinite(found.deltas).all()


def test_least_mean_loss_the_first_of_equal_ones():
    losses = np.array([[1, 2, 9, 0.5], [2, 0.5, 1, 0.5]], dtype=np.float32)
    assert best_copies(losses, np.array([2, 1, 0, 1]), np.array([[0], [0], [2], [0]], np.float32)).tolist() == [
        1,
        1,
        1,
        0,
    ]
    assert best_copies(losses, np.array([2, 1, 0, 1]), None).tolist() == [1, 1, 0, 0]
    losses[0] = np.nan
    assert best_copies(losses, np.array([2, 1, 0, 1]), None).tolist() == [1, 1, 0, 1]
