"""Candidates for data that no paper stored any for: unmet, distinct, and the same in every run."""

import numpy as np
import pytest

from everbloom.data.drawn_candidates import drawn_candidates
from everbloom.errors import DataError
from everbloom.experiment import parse_experiment
from server.measuring import evaluator_of


@pytest.fixture
def opened(study_of):
    def build(users=60, protocol="leave-one-out", **more):
        source = {
            "name": "synthetic",
            "users": users,
            "items": 400,
            "events_per_user": 12,
            "new_user_rate": 0.0,
            "seed": 5,
        }
        tables = {"name": "drawn", "data": {"source": source}, "protocol": {"name": protocol}}
        tables["evaluation"] = {"candidates": "drawn", "slices": False}
        return study_of(parse_experiment({**tables, **more}))

    return build


def test_nobody_has_met_them_and_validation_and_test_share_none(opened):
    study = opened()
    drawn = drawn_candidates(study.timeline)
    assert drawn.validation_negatives.shape == drawn.test_negatives.shape == (len(drawn.user), 99)
    for place, user in enumerate(drawn.user):
        both = np.concatenate([drawn.validation_negatives[place], drawn.test_negatives[place]])
        assert len(np.unique(both)) == 198
        assert not np.isin(both, study.dataset.events.of(int(user)).item).any()


def test_they_do_not_depend_on_the_experiments_seed(opened):
    one, other = opened(seed=1), opened(seed=2)
    np.testing.assert_array_equal(
        drawn_candidates(one.timeline).test_negatives, drawn_candidates(other.timeline).test_negatives
    )


def test_the_evaluator_measures_among_them(opened):
    assert evaluator_of(opened()).measured(0, "test").candidates is not None


def test_what_they_cannot_be_drawn_for_is_refused(opened):
    with pytest.raises(DataError, match=r'needs protocol\.name = "leave-one-out"'):
        drawn_candidates(opened(protocol="timeline").timeline)
    with pytest.raises(DataError, match=r"needs 198 items .* leaves \d+"):
        drawn_candidates(opened(users=12).timeline)
