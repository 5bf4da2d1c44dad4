"""Pooled training: everybody's examples once an epoch, Adam by hand, the same numbers for the same seed."""

from collections import Counter

import numpy as np
import pytest
import torch

from everbloom.learning.pooled import PooledTrainer


@pytest.fixture
def study(small, study_of):
    return study_of(small(central={"batch": 8, "learning_rate": 0.01}))


def pooled(study, seed: int = 0) -> PooledTrainer:
    experiment = study.experiment
    return PooledTrainer(study.new_model(), study.timeline, experiment.learning, experiment.central, seed)


def test_an_epoch_sees_every_training_positive_once(study):
    trainer = pooled(study)
    seen: Counter[int] = Counter()

    def look(batch, masks, share, known, rng):
        seen.update(batch.items[batch.weight > 0].tolist())
        return 0.0

    trainer._step = look
    trainer.epoch(0, 1)
    log, window = study.timeline.log, study.timeline.window(0)
    learnable = (log.time >= window.start) & (log.time < window.end) & (study.timeline.weight > 0)
    assert seen == Counter(log.item[learnable].tolist())
    assert seen.total() > 50


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_example_keeps_its_masks_in_whatever_batch(small, study_of, dropout):
    """New ones each epoch; none where nothing is dropped."""
    seen: list[dict[tuple, list]] = []
    for batch_size, epoch in ((8, 1), (64, 1), (8, 2)):
        study = study_of(small(central={"batch": batch_size}, model={"user": {"dropout": dropout}}))
        trainer, found = pooled(study), {}

        def look(batch, masks, share, known, rng, found=found):
            assert (masks is None) == (dropout == 0)
            for row in range(len(batch)):
                key = (*batch.items[row].tolist(), *batch.behaviour[row].tolist(), *batch.real[row].tolist())
                found.setdefault(key, []).append([] if masks is None else masks[row].tolist())
            return 0.0

        trainer._step = look
        trainer.epoch(0, epoch)
        seen.append({key: sorted(masks) for key, masks in found.items()})
    assert seen[0] == seen[1]
    assert (seen[0] == seen[2]) == (dropout == 0)


def test_loss_falls(study):
    trainer = pooled(study)
    losses = [trainer.epoch(0, epoch) for epoch in range(1, 6)]
    assert losses[-1] < losses[0] - 0.05


def test_one_seed_one_result(study):
    models = []
    for seed in (0, 0, 1):
        trainer = pooled(study, seed)
        trainer.epoch(0, 1)
        models.append(study.layout.flat(trainer.model))
    assert np.array_equal(models[0], models[1])
    assert not np.array_equal(models[0], models[2])


def test_a_step_is_adams(study):
    """One epoch in one batch: the first Adam step moves each parameter by lr against its gradient's sign."""
    experiment = study.experiment.model_copy(
        update={"central": study.experiment.central.model_copy(update={"batch": 10_000})}
    )
    trainer = PooledTrainer(study.new_model(), study.timeline, experiment.learning, experiment.central, 0)
    before = study.layout.flat(trainer.model)
    trainer.epoch(0, 1)
    moved = study.layout.flat(trainer.model) - before
    gradients = torch.cat([parameter.grad.reshape(-1) for parameter in trainer.model.parameters()]).numpy()
    clear = np.abs(gradients) > 1e-4
    np.testing.assert_allclose(moved[clear], -0.01 * np.sign(gradients[clear]), rtol=1e-3)
    assert clear.sum() > 100


def test_examples_draw_their_own_negatives_where_they_are_to(small, study_of):
    drawn = {}
    for own in (False, True):
        trainer = pooled(study_of(small(central={"batch": 16, "own_negatives": own})))
        met, forward = [], trainer.model.forward
        trainer.model.forward = lambda items, beside, negatives, *rest, met=met, forward=forward: (
            met.append(negatives) or forward(items, beside, negatives, *rest)
        )
        trainer.epoch(0, 1)
        drawn[own] = met[0]
    assert [tuple(negatives.shape) for negatives in drawn.values()] == [(1, 7), (16, 7)]
    assert len(torch.unique(drawn[True], dim=0)) > 10


def test_by_position_every_target_weighs_the_same(small, study_of):
    """The loss of one batch is then the mean over all targets in it."""
    study = study_of(small(learning={"examples": "windows"}, central={"batch": 10_000, "weighting": "position"}))
    trainer = pooled(study)
    seen = []

    def look(batch, masks, share, known, rng):
        seen.append((batch.weight.sum(dim=1), share))
        return 0.0

    trainer._step = look
    trainer.epoch(0, 1)
    targets, share = seen[0]
    assert len(set(targets.tolist())) > 2
    torch.testing.assert_close(share / targets, (len(share) / targets.sum()).expand(len(share)))
    torch.testing.assert_close(share.mean(), torch.tensor(1.0))
