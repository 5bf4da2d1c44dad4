"""Reasons are true: without the events they name, the score falls by more than without others; on real people and a trained model."""

from pathlib import Path

import numpy as np
import pytest
from explained_models import ITEMS, model_of, scorer_of

from everbloom.data.fetch import fetch
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.experiment import parse_experiment
from everbloom.explanations.faithfulness import faithfulness
from everbloom.explanations.recommending import Recommending
from everbloom.learning.pooled import PooledTrainer
from simulation.export import one_user

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NOW = 10**6
ML_100K = {
    "name": "brief",
    "seed": 1,
    "data": {"text": "{title}. {genres}", "source": {"name": "ml-100k"}},
    "protocol": {"name": "leave-one-out"},
    "model": {
        "dim": 32,
        "items": {"features": {"name": "tfidf"}},
        "user": {"layers": 1, "heads": 2, "history": 30, "dropout": 0.1},
    },
    "learning": {"objective": {"name": "sampled-softmax", "mask_history": True}, "negatives": 128},
    "central": {"learning_rate": 3e-3},
}


def test_on_real_people(study_of):
    """MovieLens-100K, 80 people and a model of six epochs of pooled training."""
    if not (REAL / "ml-100k").is_dir():
        pytest.skip(f"the data set ml-100k is not at hand ({REAL / 'ml-100k'})")
    fetch("ml-100k", REAL / "ml-100k")
    study = study_of(parse_experiment(ML_100K))
    model = study.new_model()
    trainer = PooledTrainer(model, study.timeline, study.experiment.learning, study.experiment.central, seed=1)
    for epoch in range(1, 7):
        trainer.epoch(0, epoch)
    log = study.dataset.events
    scorer = ModelScorer(study.new_model(), study.layout, study.layout.flat(model), log)
    people = np.random.default_rng(1).choice(log.users, 80, replace=False)
    histories = [(one_user(log, int(user)), None) for user in people]
    found = faithfulness(Recommending(scorer), histories, now=int(log.time.max()) + 1, seed=1)
    assert len(found.named) > 60
    more = found.named - found.random
    assert more.mean() > 3 * more.std() / len(more) ** 0.5
    assert found.better > 0.9
    assert (found.estimated - found.random).mean() > 0
    assert found.overlap.mean() > 2 * found.chance.mean()
    assert found.correlation.mean() > 0.1


def test_reasons_that_are_made_up_do_not_pass(one_log, monkeypatch):
    """Were the named events chosen at random, they would matter more than random ones for half of the people."""
    rng = np.random.default_rng(4)
    monkeypatch.setattr(
        "everbloom.explanations.faithfulness.leave_one_out",
        lambda scorer, log, piece, asked, now: (rng.random((int(piece.max()) + 1, 1)).astype(np.float32), None),
    )
    histories = [(one_log(rng.choice(ITEMS, 6, replace=False).tolist()), None) for _ in range(200)]
    recommending = Recommending(scorer_of(model_of("ids"), histories[0][0]))
    found = faithfulness(recommending, histories, now=NOW, seed=1, most=2)
    assert 0.35 < found.better < 0.65
    assert abs((found.named - found.random).mean()) < 4 * (found.named - found.random).std() / 200**0.5


def test_the_same_seed_gives_the_same_figures_and_short_histories_are_left_out(one_log):
    rng = np.random.default_rng(4)
    histories = [(one_log(rng.choice(ITEMS, size, replace=False).tolist()), None) for size in (0, 3, 6, 6, 6, 6)]
    recommending = Recommending(scorer_of(model_of("ids"), histories[0][0]))
    once, again = (faithfulness(recommending, histories, now=NOW, seed=1) for _ in range(2))
    np.testing.assert_array_equal(once.random, again.random)
    assert 2 <= len(once.named) <= 4
    assert len(faithfulness(recommending, histories[:2], now=NOW, seed=1).named) == 0
