"""Cases of users whose devices have layers of their own are scored with these, and everybody else's as if there were none."""

import numpy as np
import pytest
import torch

from everbloom.errors import ConfigError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.models.recommender import layout_of


@pytest.mark.parametrize("offset", [False, True])
def test_each_user_is_scored_by_a_model_with_its_own_layers(small, study_of, offset):
    """As by a model that has them put in; in any order of the cases, and the model is left as it was."""
    model = {"score": "mlp", "personal_layers": ["score.", "user.blocks.0."], "user": {"personal": offset}}
    study = study_of(small(model=model))
    layout, log = study.layout, study.dataset.events
    flat, cases = layout.flat(study.new_model()), study.timeline.cases(0, "validation")
    assert layout.size("personal") > 100
    learnt = np.random.default_rng(1).normal(size=(study.clients, layout.size("personal"))).astype(np.float32) * 0.1
    learnt[3] = 0
    scorer, shared = (ModelScorer(study.new_model(), layout, flat, log, own) for own in (learnt, None))
    positions = np.random.default_rng(2).permutation(len(cases))
    before = shared.score(cases, positions)
    found = scorer.score(cases, positions)
    assert np.array_equal(scorer.of(log).score(cases, positions), before)
    for place, position in enumerate(positions):
        user = cases.user[position]
        own = study.new_model()
        bound = layout.bind(own, "personal")
        bound += torch.from_numpy(learnt[user])
        expected = ModelScorer(own, layout, flat, log).score(cases, np.array([position]))[0]
        np.testing.assert_allclose(found[place], expected, rtol=1e-4, atol=1e-5)
        assert np.allclose(found[place], before[place], atol=1e-5) == (user == 3)
    assert scorer.score(cases, positions[:0]).shape == (0, len(study.dataset.catalog))


def test_layers_that_the_model_does_not_have_are_refused(small, study_of):
    with pytest.raises(ConfigError, match=r"model\.personal_layers: no parameter that is learnt begins with 'score\.'"):
        layout_of(study_of(small(model={"score": "dot", "personal_layers": ["score."]})).new_model())
    with pytest.raises(ConfigError, match=r"model\.personal_layers\.0"):
        small(model={"personal_layers": ["item."]})
