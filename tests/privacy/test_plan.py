"""The plan: what it claims, in words and numbers, and what it refuses to claim."""

import math

import pytest
from pydantic import ValidationError

from everbloom.config import LearningConfig, ModelConfig, PrivacyConfig
from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.accounting.sampled import poisson_epsilon
from everbloom.privacy.course import Course
from everbloom.privacy.plan import PrivacyPlan, build_plan

MODEL = ModelConfig.model_validate({"user": {"history": 7}})


def course(rounds: int, **fields: object) -> Course:
    return Course.model_validate({"rounds": rounds, "population": 1000, "cohort": 100, **fields})


def plan_of(rounds: int = 10, learning: dict[str, object] | None = None, **privacy: object) -> PrivacyPlan:
    table = {"unit": "example", "delta": 1e-4, **privacy}
    found = build_plan(
        PrivacyConfig.model_validate(table), LearningConfig.model_validate(learning or {}), MODEL, course(rounds), 100
    )
    assert found is not None
    return found


def test_off_is_no_plan():
    assert build_plan(PrivacyConfig(), LearningConfig(max_examples=3), MODEL, course(10), 100) is None


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("sampling", [{}, {"sampling": "poisson", "sample_rate": 0.3}])
def test_noise_for_a_budget_and_the_budget_of_that_noise(steps, sampling):
    """Round trip: the epsilon computed of the calibrated noise is the budget, and that is what a device has spent in the end."""
    learning = {"local_steps": steps}
    calibrated = plan_of(10, learning, epsilon=4.0, **sampling)
    assert calibrated.epsilon <= 4.0
    assert calibrated.epsilon == pytest.approx(4.0, rel=5e-3)
    computed = plan_of(10, learning, noise_multiplier=calibrated.noise_multiplier, **sampling)
    assert computed.epsilon == pytest.approx(calibrated.epsilon)
    assert calibrated.spent(10) == pytest.approx(calibrated.epsilon)
    assert 0 < calibrated.spent(3) < calibrated.spent(7) < calibrated.spent(10)
    assert calibrated.spent(0) == 0


def test_what_the_full_batch_costs():
    plan = plan_of(12, {"local_steps": 2}, noise_multiplier=5.0)
    assert plan.epsilon == gaussian_epsilon(math.sqrt(24) / 5, 1e-4)


def test_what_poisson_sampling_costs():
    plan = plan_of(4, {"local_steps": 5}, noise_multiplier=1.0, sampling="poisson", sample_rate=0.2)
    assert plan.epsilon == poisson_epsilon(1.0, 0.2, 20, 1e-4)
    assert plan.epsilon < plan_of(4, {"local_steps": 5}, noise_multiplier=1.0).epsilon


def test_participations_bound_what_is_spent():
    limited = plan_of(100, epsilon=4.0, max_participations=5)
    assert limited.max_participations == 5
    assert limited.noise_multiplier < plan_of(100, epsilon=4.0).noise_multiplier
    assert plan_of(3, epsilon=4.0, max_participations=5).max_participations == 3


def test_the_clip_norm_changes_no_cost():
    assert plan_of(epsilon=4.0, clip_norm=0.1).noise_multiplier == plan_of(epsilon=4.0, clip_norm=9.0).noise_multiplier


def test_in_how_many_examples_an_interaction_lies():
    assert plan_of(epsilon=1.0).examples_per_interaction == 1
    assert plan_of(learning={"examples": "next-item"}, epsilon=1.0).examples_per_interaction == 7


def test_the_statement_says_everything():
    told = plan_of(
        20,
        {"examples": "next-item", "local_steps": 2},
        epsilon=2.0,
        clip_norm=0.5,
        denominator=40,
        sampling="poisson",
        sample_rate=0.25,
        max_participations=6,
    ).describe()
    for words in (
        "(2, 0.0001)-differentially private",
        "at most 6 rounds",
        "adding or removing one example",
        "one event with up to 6 events before it",
        "An interaction lies in up to 7 examples",
        "for a whole interaction or a whole user the guarantee is weaker",
        "DP-SGD on the device",
        "clip 0.5",
        "Poisson sampling at rate 0.25",
        "2 step(s) a round",
        "divided by the public constant 40",
        "The device is trusted; the server, the other devices and the network are not.",
        "Not covered",
    ):
        assert words in told
    windows = plan_of(epsilon=2.0).describe()
    assert "An interaction lies in exactly one example." in windows
    assert "full batch" in windows
    assert "windows being disjoint" in windows


def test_a_subset_of_examples_is_refused():
    with pytest.raises(PrivacyError, match=r"learning\.max_examples: choosing a subset ties examples"):
        plan_of(learning={"max_examples": 5}, epsilon=1.0)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"unit": "example", "epsilon": 1}, "delta is missing"),
        ({"unit": "example", "delta": 1e-5}, "exactly one of epsilon"),
        ({"unit": "example", "delta": 1e-5, "epsilon": 1, "noise_multiplier": 1}, "exactly one of epsilon"),
        ({"unit": "example", "delta": 1e-5, "epsilon": 1, "sampling": "poisson"}, "sample_rate goes with"),
        ({"unit": "example", "delta": 1e-5, "epsilon": 1, "sample_rate": 0.5}, "sample_rate goes with"),
        ({"epsilon": 8, "delta": 1e-5}, "unit is missing, so nothing would be private"),
        ({"noise_multiplier": 1.0}, "unit is missing, so nothing would be private"),
        ({"unit": "group", "epsilon": 1, "delta": 1e-5}, "Input should be 'none', 'example', 'interaction' or 'user'"),
        ({"delta": 1e-5, "clip_norm": 0.5}, "unit is missing, so nothing would be private"),
        ({"unit": "user", "mechanism": "dp-sgd", "epsilon": 1, "delta": 1e-5}, 'gives no guarantee for unit "user"'),
        ({"unit": "example", "mechanism": "central", "epsilon": 1, "delta": 1e-5}, "gives no guarantee for unit"),
        ({"unit": "example", "epsilon": 0, "delta": 1e-5}, "greater than 0"),
        ({"unit": "example", "epsilon": 1, "delta": 1}, "less than 1"),
        ({"unit": "example", "epsilon": 1, "delta": 0}, "greater than 0"),
        ({"unit": "example", "epsilon": math.inf, "delta": 1e-5}, "finite"),
        ({"unit": "example", "epsilon": 1, "delta": 1e-5, "clip_norm": -1}, "greater than 0"),
        ({"unit": "example", "epsilon": 1, "delta": 1e-5, "clip_norm": math.inf}, "finite"),
        ({"unit": "example", "epsilon": 1, "delta": 1e-5, "denominator": 0}, "greater than 0"),
        ({"unit": "example", "noise_multiplier": 0, "delta": 1e-5}, "greater than 0"),
        ({"unit": "example", "epsilon": 1, "delta": 1e-5, "sampling": "poisson", "sample_rate": 1.5}, "less than or equal"),
    ],
)  # fmt: skip
def test_claims_that_make_no_sense_are_refused(table, told):
    with pytest.raises(ValidationError, match=told):
        PrivacyConfig.model_validate(table)


def test_off_said_outright_is_off():
    """One can turn a private experiment off with one key."""
    assert PrivacyConfig.model_validate({"unit": "none", "epsilon": 8}).unit == "none"


def test_noise_against_signal():
    """s sqrt(d) / (B sqrt(m)), the norm of the noise on a cohort's mean step in clip norms."""
    assert plan_of(noise_multiplier=1.8, denominator=50).noise_to_clip(10_000, 100) == pytest.approx(0.36)
