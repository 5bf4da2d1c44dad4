"""Plans by the unit of a user: what they claim in numbers and words, and what they refuse."""

import math

import pytest

from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.accounting.sampled import poisson_epsilon

MECHANISMS = ["central", "matrix-factorisation", "distributed", "local"]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_noise_for_a_budget_and_the_budget_of_that_noise(plan_for, mechanism):
    """Round trip: the epsilon of the calibrated noise is the budget, and that is what has been spent in the end."""
    calibrated = plan_for(mechanism, epsilon=4.0)
    assert calibrated.epsilon <= 4.0
    assert calibrated.epsilon == pytest.approx(4.0, rel=5e-3)
    computed = plan_for(mechanism, noise_multiplier=calibrated.noise_multiplier)
    assert computed.epsilon == pytest.approx(calibrated.epsilon)
    charges = calibrated.max_participations
    assert calibrated.spent(charges) == pytest.approx(calibrated.epsilon)
    assert 0 == calibrated.spent(0) < calibrated.spent(1) < calibrated.spent(charges)
    assert plan_for(mechanism, epsilon=1.0).noise_multiplier > calibrated.noise_multiplier


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_clip_norm_changes_no_cost(plan_for, mechanism):
    small, large = plan_for(mechanism, clip_norm=0.01), plan_for(mechanism, clip_norm=50.0)
    assert small.noise_multiplier == pytest.approx(large.noise_multiplier, rel=1e-3)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_costs_of_all_charges_fill_the_budget(plan_for, mechanism):
    """The ledger's filter against the plan's own composition; a filter by Renyi divergences may only be the more careful of the two."""
    plan = plan_for(mechanism)
    cost = plan.cost()
    if cost.mu_squared is not None:
        composed = gaussian_epsilon(math.sqrt(plan.max_participations * cost.mu_squared), plan.delta)
        assert composed == pytest.approx(plan.epsilon)
    else:
        # RDP at any order converts to no less than the exact figure (loosely: the conversion loses).
        order = 4.0
        bound = plan.max_participations * cost.rdp(order) + math.log(1 / plan.delta) / (order - 1)
        assert bound > plan.epsilon * 0.9


def test_central_counts_on_poisson_samples(plan_for):
    plan = plan_for("central", noise_multiplier=2.0)
    assert plan.epsilon == poisson_epsilon(2.0, 12 / 60, 20, 1e-4)
    assert plan.charged == "round"


def test_local_counts_twice_the_clip_norm(plan_for):
    plan = plan_for("local", noise_multiplier=9.0, max_participations=4)
    assert plan.epsilon == gaussian_epsilon(2 * math.sqrt(4) / 9.0, 1e-4)


def test_matrix_factorisation_counts_separated_participations(plan_for):
    """60 users in cohorts of 12: 5 rounds apart, 20 rounds, so 4 participations each."""
    plan = plan_for("matrix-factorisation", noise_multiplier=3.0)
    assert (plan.separation, plan.max_participations) == (5, 4)
    assert plan.epsilon == pytest.approx(gaussian_epsilon(math.sqrt(4) / 3.0, 1e-4), rel=1e-9)
    fewer = plan_for("matrix-factorisation", noise_multiplier=3.0, max_participations=1)
    assert fewer.epsilon == pytest.approx(gaussian_epsilon(1 / 3.0, 1e-4), rel=1e-9)
    with_bands = plan_for({"name": "matrix-factorisation", "bands": 1}, noise_multiplier=3.0)
    assert with_bands.noise_to_clip(40, 12) > plan.noise_to_clip(40, 12)


def test_distributed_noise_rests_on_the_least_cohort(plan_for):
    whole = plan_for({"name": "distributed", "min_cohort": 12})
    tolerant = plan_for("distributed")
    assert (whole.min_cohort, tolerant.min_cohort) == (12, 10)
    assert whole.noise_multiplier == pytest.approx(tolerant.noise_multiplier, rel=1e-3)
    assert tolerant.encoding.share_variance * tolerant.encoding.granularity**2 == pytest.approx(
        (tolerant.noise_multiplier * tolerant.encoding.inflated_clip_norm) ** 2 / 10
    )


REFUSED = {
    "a fixed cohort as a Poisson sample": ("central", {"sampler": "uniform"}, {}, "cohorts of a fixed size are not what the accountant"),
    "the first to answer": ("central", {"over_selection": 0.2}, {}, "the cohort is no Poisson sample"),
    "a round that does not step": ("central", {"min_replies": 3}, {}, "tells how many users were drawn"),
    "a cap on Poisson samples": ("central", {}, {"max_participations": 3}, "who may no longer be drawn depends"),
    "a cap per period": ("central", {}, {"max_participations_per_period": 3}, "who may no longer be drawn depends"),
    "noise of no population": ({"name": "central", "noise_population": 10_000}, {}, {}, "is no cohort"),
    "noise cohort above its population": ({"name": "central", "noise_cohort": 61}, {}, {}, "is no cohort"),
    "an adaptive clip that costs it all": (
        {"name": "central", "adaptive_clip": {"noise": 1e-3}}, {}, {}, "spends the whole budget",
    ),
    "too far apart": ({"name": "matrix-factorisation", "separation": 6}, {}, {}, "6 rounds apart need 72 devices, there are 60"),
    "bands beyond the separation": ({"name": "matrix-factorisation", "bands": 6}, {}, {}, "columns that overlap"),
    "unknown cohorts apart": ("matrix-factorisation", {"sampler": "poisson"}, {}, "rounds of unknown size"),
    "a round without noise": ("matrix-factorisation", {"min_replies": 2}, {}, "leave it at 1"),
    "sums of unknown size": ("distributed", {"sampler": "poisson"}, {}, "a cohort of unknown size"),
    "a sum of two": ({"name": "distributed", "min_cohort": 2}, {}, {}, "of a sum of two each knows"),
    "more than there are": ({"name": "distributed", "min_cohort": 13}, {}, {}, "expected 3 to 12"),
    "too few bits": ({"name": "distributed", "bits": 8}, {"cohort": 60, "population": 6000}, {"epsilon": 0.1}, "more bits"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_keep_the_claim_is_refused(plan_for, case):
    mechanism, course, privacy, told = REFUSED[case]
    with pytest.raises(PrivacyError, match=told) as caught:
        plan_for(mechanism, course, **privacy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mechanism", "words"),
    [
        ("central", ("global models of all 20 rounds", "one user with all their data", "Poisson-sampled cohorts at rate 0.2", "constant 12")),
        ("matrix-factorisation", ("at least 5 apart", "DP-FTRL", "no sampling assumed", "by nothing")),
        ("distributed", ("skellam", "from 10 devices' shares", "16-bit sums", "updates of one user by zeros")),
        ("local", ("Each device's messages", "by any other", "of sensitivity 2 clip norms", "The device is trusted; the server")),
    ],
)  # fmt: skip
def test_the_statement_says_everything(plan_for, mechanism, words):
    told = plan_for(mechanism).describe()
    for word in (*words, "(4, 0.0001)-differentially private", "trusted", "Not covered"):
        assert word in told


def test_simulated_noise_is_labelled_everywhere(plan_for):
    """Noise as of 100 times the cohort out of 100 times the population: the same rate, hence the same epsilon, and a hundredth of the noise."""
    plan = plan_for({"name": "central", "noise_cohort": 1200, "noise_population": 6000})
    own = plan_for("central")
    assert plan.noise_multiplier == own.noise_multiplier
    assert plan.noise_to_clip(40, 12) == pytest.approx(own.noise_to_clip(40, 12) / 100)
    assert "valid only at cohort = 1200" in plan.mechanism
    assert plan.describe().startswith("SIMULATED NOISE, valid only at cohort = 1200 of 6000 users")
