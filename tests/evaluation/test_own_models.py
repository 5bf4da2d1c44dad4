"""Cases of users who have a whole model of their own are scored by it, and everybody else's by the shared one."""

import numpy as np

from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.evaluation.own_models import UsersOwn
from everbloom.models.own_model import model_of


def test_each_user_is_scored_by_its_own_model(small, study_of):
    """As by a scorer of that model alone; in any order of the cases, and the model is left as it was."""
    study = study_of(small())
    layout, log = study.layout, study.dataset.events
    shared, cases = layout.flat(study.new_model()), study.timeline.cases(0, "validation")
    drawn = np.random.default_rng(1).normal(size=(study.clients, len(shared))).astype(np.float32)
    models = shared + np.float32(0.3) * drawn
    models[3] = 0
    scorer = ModelScorer(study.new_model(), layout, shared, log, models=UsersOwn(models, layout))
    alone = ModelScorer(study.new_model(), layout, shared, log)
    positions = np.random.default_rng(2).permutation(len(cases))
    before = alone.score(cases, positions)
    assert np.array_equal(scorer.of(log).score(cases, positions), before)
    for found in (scorer.score(cases, positions), scorer.score(cases, positions)):
        for place, position in enumerate(positions):
            user = cases.user[position]
            own = models[user] if user != 3 else shared
            expected = ModelScorer(study.new_model(), layout, own, log).score(cases, np.array([position]))[0]
            np.testing.assert_allclose(found[place], expected, rtol=1e-4, atol=1e-5)
            assert np.allclose(found[place], before[place], atol=1e-5) == (user == 3)
    assert np.array_equal(scorer.of(log).score(cases, positions), before)
    assert scorer.score(cases, positions[:0]).shape == (0, len(study.dataset.catalog))


def test_what_is_counted_is_the_shared_models(small, study_of):
    layout = study_of(small(model={"prior": {}})).layout
    shared, own = np.ones(layout.size(), dtype=np.float32), np.full(layout.size(), 2, dtype=np.float32)
    found = model_of(own, shared, layout)
    counted = np.zeros(layout.size(), dtype=np.bool_)
    counted[layout.counted] = True
    assert counted.any()
    assert np.array_equal(found, np.where(counted, 1, 2))
    assert (own == 2).all()
    assert model_of(np.zeros_like(own), shared, layout) is shared
