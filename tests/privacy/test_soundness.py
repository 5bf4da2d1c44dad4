"""Models under which per-example clipping would silently break are refused, and only under units that rest on it."""

import pytest
from torch import nn

from everbloom.errors import PrivacyError
from everbloom.methods import AGGREGATION_RULES
from everbloom.privacy.soundness import check_aggregation, check_model


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.items.weight


MODELS = {
    "batch normalisation": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
        r"^1: batch normalisation makes",
    ),
    "tied layers": (Tied, r"^out\.weight: tied to items\.weight, so clipping layer by layer"),
}


@pytest.mark.parametrize("case", MODELS)
def test_it_is_refused_by_the_example_and_allowed_by_the_user(make_plan, plan_by_user, case):
    make, told = MODELS[case]
    for unit in ("example", "interaction"):
        with pytest.raises(PrivacyError, match=told) as caught:
            check_model(make_plan(unit=unit), make())
        assert "\n" not in str(caught.value)
    check_model(plan_by_user, make())


def test_frozen_batch_normalisation_is_refused_too(make_plan):
    """Its running statistics move without noise, though nothing of it is trained."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).requires_grad_(False)
    with pytest.raises(PrivacyError, match="running statistics carry no noise"):
        check_model(make_plan(), model)


def test_a_tied_layer_that_is_not_trained_is_fine(make_plan):
    check_model(make_plan(), Tied().requires_grad_(False))


def test_personal_parameters_are_refused_by_the_example(make_plan, plan_by_user):
    model = nn.Linear(3, 2)
    with pytest.raises(PrivacyError, match=r"^bias: a personal parameter is learnt from all examples without noise"):
        check_model(make_plan(), model, personal=["bias"])
    check_model(plan_by_user, model, personal=["bias"])
    check_model(make_plan(), model, personal=["not there"])


def test_the_shipped_recommender_is_fine(make_plan, small, study_of):
    check_model(make_plan(), study_of(small()).new_model())


@pytest.fixture
def plan_by_user(small, study_of):
    """A plan that clips a device's whole update."""
    experiment = small(privacy={"unit": "user", "mechanism": "local", "epsilon": 4.0, "delta": 1e-4})
    return study_of(experiment).plan


@pytest.mark.parametrize("mechanism", ["central", "matrix-factorisation", "distributed", "local", "dp-sgd"])
def test_who_needs_a_sum_refuses_rules_that_look_at_each_update(small, study_of, mechanism):
    unit = "example" if mechanism == "dp-sgd" else "user"
    federation = {"sampler": "poisson"} if mechanism == "central" else {}
    privacy = {"unit": unit, "mechanism": mechanism, "epsilon": 8.0, "delta": 1e-3}
    plan = study_of(small(privacy=privacy, federation=federation)).plan
    check_aggregation(plan, AGGREGATION_RULES.parse("mean"))
    if plan.needs_sum is None:
        check_aggregation(plan, AGGREGATION_RULES.parse("median"))
        return
    with pytest.raises(PrivacyError, match=r'^federation\.aggregation = "median": looks at every device'):
        check_aggregation(plan, AGGREGATION_RULES.parse("median"))
