"""Membership inference: the likelihood ratio says nothing where there is nothing, and much where there is much."""

import numpy as np
import pytest

from everbloom.privacy.audit import roc
from simulation.audit.membership import _brief, _members, infer_members, likelihood_ratios


def areas(scores: np.ndarray, members: np.ndarray) -> list[float]:
    return [roc.area(found[~inside], found[inside]).value for found, inside in zip(scores, members, strict=True)]


@pytest.mark.parametrize("models", [4, 6, 8])
def test_every_user_trains_half_of_the_models(models):
    members = _members(101, models, 1)
    assert (members.sum(axis=0) == models // 2).all()
    assert (members[::2] != members[1::2]).all()


@pytest.mark.parametrize("models", [4, 8])
def test_without_a_difference_there_is_no_evidence(models):
    """Not even through the number of shadows of either kind, which a model's own partner would give away."""
    rng = np.random.default_rng(0)
    users = 4000
    losses = rng.normal(size=users) * 3 + rng.normal(size=(models, users))
    members = _members(users, models, 1)
    assert np.mean(areas(likelihood_ratios(losses, members), members)) == pytest.approx(0.5, abs=0.02)


def test_users_own_levels_do_not_hide_a_difference():
    """Where users differ by more than being a member does, a threshold on the loss is blind, and the ratio is not."""
    rng = np.random.default_rng(0)
    members = _members(2000, 8, 1)
    losses = rng.normal(size=2000) * 5 + rng.normal(size=(8, 2000)) * 0.3 - 0.5 * members
    assert np.mean(areas(-losses, members)) < 0.56
    assert np.mean(areas(likelihood_ratios(losses, members), members)) > 0.8


@pytest.mark.parametrize("privacy", [None, True], ids=["without privacy", "with privacy"])
def test_brief_federations_are_attacked(small, study_of, privacy):
    study = study_of(small(**({} if privacy is None else {"privacy": privacy})))
    found = infer_members(study, 4, 1, 1, 0.05)
    assert [result.attack for result in found] == ["loss", "LiRA"]
    for result in found:
        assert (result.models, result.rounds, result.private) == (4, 1, privacy is True)
        assert 2 < result.users <= study.clients
        assert 0 <= result.area.low <= result.area.value <= result.area.high <= 1
        assert 0 <= result.power <= 1
    assert found == infer_members(study, 4, 1, 1, 0.05)


def test_who_is_learnt_by_heart_is_found(small, study_of):
    """Half of twenty users, many large steps: their own items stand out."""
    study = study_of(
        small(
            learning={"local_steps": 5, "learning_rate": 0.5},
            federation={"cohort": 20},
            protocol={"name": "leave-one-out"},
        )
    )
    found = {result.attack: result.area.value for result in infer_members(study, 4, 10, 1, 0.05)}
    assert max(found.values()) > 0.75


def test_a_brief_federation_has_the_noise_of_the_whole(small, study_of):
    study = study_of(
        small(privacy={"unit": "example", "epsilon": 4.0, "delta": 1e-5, "denominator": 10}, federation={"rounds": 50})
    )
    brief = _brief(study, 2)
    assert brief.privacy.noise_multiplier == study.plan.noise_multiplier
    assert brief.federation.rounds == 2
    assert brief.federation.cohort == 3
